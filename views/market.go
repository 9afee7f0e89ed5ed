package views

import (
	"context"
	"slices"

	"guildhall/market"
)

// shownSkills is how many skills are offered before "more".
const shownSkills = 10

func wanted(v MarketView, skill string) bool { return slices.Contains(v.Filter.Skills, skill) }

// firstSkills are the most wanted skills and all that are chosen.
func firstSkills(v MarketView) []market.SkillCount {
	var out []market.SkillCount
	known := map[string]bool{}
	for i, s := range v.Skills {
		known[s.Skill] = true
		if i < shownSkills || wanted(v, s.Skill) {
			out = append(out, s)
		}
	}
	for _, s := range v.Filter.Skills {
		if !known[s] {
			out = append(out, market.SkillCount{Skill: s})
		}
	}
	return out
}

func otherSkills(v MarketView) []market.SkillCount {
	var out []market.SkillCount
	for i, s := range v.Skills {
		if i >= shownSkills && !wanted(v, s.Skill) {
			out = append(out, s)
		}
	}
	return out
}

func filtered(v MarketView) bool {
	f := v.Filter
	return len(f.Skills) > 0 || f.Query != "" || f.MinReward > 0 || f.MaxReward > 0 || f.Mode != "" || f.Protected != nil || f.Publisher != ""
}

func withoutSkill(v MarketView, skill string) string {
	f := v.Filter
	f.Skills = slices.DeleteFunc(slices.Clone(f.Skills), func(s string) bool { return s == skill })
	return marketQuery(f, "")
}

// resultCount says how many tasks are shown; the market is never counted.
func resultCount(ctx context.Context, v MarketView) string {
	if v.Next != "" {
		return N(ctx, "market.first", int64(len(v.Tasks)))
	}
	return N(ctx, "market.count", int64(len(v.Tasks)))
}
