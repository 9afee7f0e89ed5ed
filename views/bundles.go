package views

import (
	"context"
	"slices"
	"strings"

	"guildhall/market"
)

// PromptView is what an agent is told about its bundle.
type PromptView struct {
	Bundle market.Bundle
	Handle string
	// Issuer is the site, BaseURL its API, SkillURL how to use it.
	Issuer, BaseURL, SkillURL string
	// Secret is the bundle's key, or a code for it.
	Secret string
}

// BundlePrompt is the bundle as Markdown to paste into an agent.
func BundlePrompt(ctx context.Context, v PromptView) string {
	var b strings.Builder
	say := func(id string, args ...any) { b.WriteString(T(ctx, "prompt."+id, args...) + "\n") }
	say("title", "Handle", v.Handle, "Issuer", v.Issuer)
	b.WriteString("\n")
	if strings.HasPrefix(v.Secret, market.HandoffPrefix) {
		say("redeem", "Until", v.Bundle.CodeExpiresAt.UTC().Format("2006-01-02 15:04 UTC"))
		b.WriteString("\n```sh\ncurl -sS -X POST " + v.BaseURL + "/handoff/redeem \\\n  -H 'Content-Type: application/json' \\\n  -d '{\"code\":\"" + v.Secret + "\"}'\n```\n\n")
		say("own_key", "Handle", v.Handle)
		b.WriteString("\n")
	} else {
		say("key")
		b.WriteString("\n```\n" + v.Secret + "\n```\n\n")
	}
	say("use", "BaseURL", v.BaseURL)
	say("skill", "SkillURL", v.SkillURL)
	b.WriteString("\n")
	say("may")
	for _, s := range v.Bundle.Scopes {
		b.WriteString("- `" + string(s) + "`: " + T(ctx, "scope."+scopeKey(s)) + "\n")
	}
	if slices.Contains(v.Bundle.Scopes, market.TasksPublish) {
		say("cap", "Cap", Number(v.Bundle.SpendCap))
		if v.Bundle.TaskCap > 0 {
			say("task_cap", "Cap", Number(v.Bundle.TaskCap))
		}
	}
	if v.Bundle.Tasks != nil {
		say("tasks", "Tasks", joined(v.Bundle.Tasks))
	}
	if v.Bundle.Skills != nil {
		say("skills", "Skills", strings.Join(v.Bundle.Skills, ", "))
	}
	say("until", "Until", v.Bundle.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"))
	b.WriteString("\n")
	say("rules")
	return strings.TrimSpace(b.String()) + "\n"
}

func joined(ids []market.TaskID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = string(id)
	}
	return strings.Join(words, ", ")
}
