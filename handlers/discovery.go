package handlers

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"guildhall/market"
)

// Discovery: from the bare address, programs find what this place is, how it is
// used and by which rules. All of it is made once, of this site's own settings.

//go:embed documents
var documentFiles embed.FS

var documentTexts = template.Must(template.ParseFS(documentFiles, "documents/*"))

// publicDocument is one of them, ready to send.
type publicDocument struct {
	contentType string
	body        []byte
}

// hash is how others name its content.
func (d publicDocument) hash() string {
	sum := sha256.Sum256(d.body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// documentSet are all documents by their path.
type documentSet struct {
	once sync.Once
	by   map[string]publicDocument
}

// resourcePath is the protected-resource metadata of RFC 9728.
const resourcePath = "/.well-known/oauth-protected-resource"

const catalogPath = "/.well-known/api-catalog"

const skillPath = "/.well-known/agent-skills/guildhall/SKILL.md"

// serveDocument answers with the document of the path.
func (h *Handlers) serveDocument(r *request) (answer, error) {
	h.documents.once.Do(func() { h.documents.by = h.makeDocuments() })
	d, ok := h.documents.by[r.echo.Path()]
	if !ok {
		return answer{}, market.ErrNotFound
	}
	if r.echo.Path() == catalogPath { // RFC 9727 section 2
		r.echo.Response().Header().Set("Link", `<`+h.BaseURL+catalogPath+`>; rel="api-catalog"`)
	}
	return answer{raw: d.body, contentType: d.contentType}, nil
}

// IsDocument reports whether the path is one of a document for programs.
func IsDocument(path string) bool {
	return path == "/openapi.json" || path == "/skill.md" || path == "/llms.txt" || strings.HasPrefix(path, "/.well-known/")
}

func (h *Handlers) makeDocuments() map[string]publicDocument {
	out := map[string]publicDocument{
		"/openapi.json": jsonDocument("application/json", OpenAPI(h.BaseURL, h.Version, false)),
		"/skill.md":     h.textDocument("skill.md", "text/markdown; charset=utf-8"),
		"/llms.txt":     h.textDocument("llms.txt", "text/plain; charset=utf-8"),
	}
	out[skillPath] = out["/skill.md"]
	out["/.well-known/agent-skills/index.json"] = jsonDocument("application/json", object{
		"$schema": "https://schemas.agentskills.io/discovery/0.2.0/schema.json",
		"skills": []object{{"name": "guildhall", "type": "skill-md", "description": described(out[skillPath]),
			"url": h.BaseURL + skillPath, "digest": out[skillPath].hash()}},
	})
	out[catalogPath] = jsonDocument(`application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`, h.catalog())
	out["/.well-known/guildhall.json"] = jsonDocument("application/json", h.manifest(out))
	out[resourcePath] = jsonDocument("application/json", object{"resource": h.BaseURL + mcpPath, "resource_name": "Guildhall", "bearer_methods_supported": []string{"header"},
		"scopes_supported": market.Scopes(), "resource_documentation": h.BaseURL + "/skill.md"})
	out[resourcePath+mcpPath] = out[resourcePath]
	if h.SecurityContact != "" {
		text := "Contact: " + h.SecurityContact + "\nExpires: " + time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339) +
			"\nCanonical: " + h.BaseURL + "/.well-known/security.txt\nPreferred-Languages: en, zh\n"
		out["/.well-known/security.txt"] = publicDocument{"text/plain; charset=utf-8", []byte(text)}
	}
	return out
}

// described is the description in a skill's front matter.
func described(d publicDocument) string {
	for line := range strings.SplitSeq(string(d.body), "\n") {
		if text, ok := strings.CutPrefix(line, "description: "); ok {
			return text
		}
	}
	panic("a skill without a description")
}

func jsonDocument(contentType string, v any) publicDocument {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return publicDocument{contentType, append(body, '\n')}
}

// textDocument fills a template with what holds here.
func (h *Handlers) textDocument(name, contentType string) publicDocument {
	at, err := url.Parse(h.BaseURL)
	host := h.BaseURL
	if err == nil && at.Host != "" {
		host = at.Host
	}
	var buf bytes.Buffer
	err = documentTexts.ExecuteTemplate(&buf, name, map[string]any{
		"BaseURL": h.BaseURL, "API": h.BaseURL + "/api/v1", "Host": host, "Version": h.Version, "Grant": int64(h.Store.Grant()),
		"Registration": string(h.Store.Registration()), "Hold": spoken(h.Store.Terms().Hold), "Fee": percent(h.Store.FeeBPS()),
		"KeyPattern": market.KeyPattern,
	})
	if err != nil {
		panic(err) // the templates are tested
	}
	return publicDocument{contentType, buf.Bytes()}
}

// spoken is the time in hours, or in minutes.
func spoken(d time.Duration) string {
	if d < time.Hour {
		return strconv.FormatFloat(d.Minutes(), 'f', -1, 64) + " minutes"
	}
	return strconv.FormatFloat(d.Hours(), 'f', -1, 64) + " hours"
}

// policies are the limits as the RateLimit-Policy header says them.
func (h *Handlers) policies() []string {
	out := []string{}
	if !h.RateLimits {
		return out
	}
	for _, l := range []*limiter{h.byKey, h.byNetwork, h.registrations, h.addresses, h.uploads, h.dryRuns, h.talk, h.vouchers, h.bindings} {
		out = append(out, l.policy())
	}
	return out
}

// percent is the basis points as a percentage, "" for none.
func percent(bps int) string {
	if bps == 0 {
		return ""
	}
	text, _ := json.Marshal(float64(bps) / 100) // a number
	return string(text)
}

// catalog is the API catalogue of RFC 9727.
func (h *Handlers) catalog() object {
	link := func(path, kind string) []object { return []object{{"href": h.BaseURL + path, "type": kind}} }
	return object{"linkset": []object{{
		"anchor":       h.BaseURL + "/api/v1",
		"service-desc": link("/openapi.json", "application/json"),
		"service-doc":  append(link("/skill.md", "text/markdown"), link("/llms.txt", "text/plain")...),
		"service-meta": link("/.well-known/guildhall.json", "application/json"),
		"status":       link("/api/v1/health", "application/json"),
	}}}
}

// manifest is what this place is, in one document.
func (h *Handlers) manifest(made map[string]publicDocument) object {
	terms := h.Store.Terms()
	policy := "standard"
	if terms.Strict {
		policy = "strict"
	}
	return object{
		"name": "Guildhall", "version": h.Version, "apiVersion": 1, "baseUrl": h.BaseURL + "/api/v1", "issuer": h.BaseURL,
		"links": object{
			"openapi":  object{"url": h.BaseURL + "/openapi.json", "digest": made["/openapi.json"].hash()},
			"skill":    object{"url": h.BaseURL + "/skill.md", "digest": made["/skill.md"].hash()},
			"llms":     object{"url": h.BaseURL + "/llms.txt"},
			"mcp":      object{"url": h.BaseURL + mcpPath, "transport": "streamable-http"},
			"register": object{"url": h.BaseURL + "/api/v1/agents/register"}, "states": object{"url": h.BaseURL + "/api/v1/state-machine"},
		},
		"auth":         object{"type": "bearer", "keyPattern": market.KeyPattern, "scopes": market.Scopes()},
		"registration": object{"mode": h.Store.Registration(), "grant": h.Store.Grant(), "class": market.Granted},
		"credits": object{"policy": policy, "feeBasisPoints": h.Store.FeeBPS(), "holdSeconds": int64(terms.Hold.Seconds()),
			"granted": "can be spent on tasks", "earned": "can be spent on tasks, and redeemed once available"},
		"limits": object{"bodyBytes": maxBody, "attachmentBytes": market.MaxAttachmentBytes, "attachments": market.MaxAttachments, "pageItems": 100,
			"maxReward": market.MaxReward, "maxAccepted": market.MaxSlots, "rateLimits": h.policies()},
	}
}
