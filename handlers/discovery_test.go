package handlers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
)

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(h[:])
}

// TestDiscovery finds its way from the bare address to all documents.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, func(o *store.Options) { o.FeeBPS, o.Terms.Strict = 250, true }, func(o *handlers.Options) { o.SecurityContact = "mailto:security@example.org" })
	get := func(path, contentType string) reply {
		t.Helper()
		r := s.want(t, 200, s.call(t, "", "GET", path, nil))
		if r.header.Get("Content-Type") != contentType || r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Set-Cookie") != "" || !strings.HasPrefix(r.header.Get("Cache-Control"), "public") {
			t.Errorf("%s: %v", path, r.header)
		}
		if again := s.call(t, "", "GET", path, nil, "If-None-Match", r.header.Get("ETag")); again.status != 304 || again.text != "" {
			t.Errorf("%s again: %d", path, again.status)
		}
		if strings.Contains(r.text, "<no value>") || strings.Contains(r.text, "{{") {
			t.Errorf("%s has holes: %s", path, r.text)
		}
		return r
	}
	at := func(address any) string { return strings.TrimPrefix(address.(string), "http://test") }
	catalog := get("/.well-known/api-catalog", `application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"`)
	if link := s.call(t, "", "HEAD", "/.well-known/api-catalog", nil).header.Get("Link"); link != `<http://test/.well-known/api-catalog>; rel="api-catalog"` {
		t.Errorf("the catalogue's link is %q", link)
	}
	if catalog.at("linkset.0.anchor") != "http://test/api/v1" {
		t.Errorf("the catalogue is %s", catalog.text)
	}
	openapi := get(at(catalog.at("linkset.0.service-desc.0.href")), "application/json")
	skill := get(at(catalog.at("linkset.0.service-doc.0.href")), "text/markdown; charset=utf-8")
	llms := get(at(catalog.at("linkset.0.service-doc.1.href")), "text/plain; charset=utf-8")
	manifest := get(at(catalog.at("linkset.0.service-meta.0.href")), "application/json")
	if manifest.at("links.openapi.digest") != sum(openapi.text) || manifest.at("links.skill.digest") != sum(skill.text) {
		t.Error("the manifest's digests are of something else")
	}
	if manifest.at("credits.feeBasisPoints") != 250.0 || manifest.at("credits.policy") != "strict" || manifest.at("credits.holdSeconds") != 86400.0 || manifest.at("registration.grant") != 1000.0 {
		t.Errorf("the rules are %s", manifest.text)
	}
	index := get("/.well-known/agent-skills/index.json", "application/json")
	if same := get(at(index.at("skills.0.url")), "text/markdown; charset=utf-8"); same.text != skill.text || index.at("skills.0.digest") != sum(skill.text) || index.at("skills.0.name") != "guildhall" ||
		!strings.Contains(skill.text, "\ndescription: "+index.at("skills.0.description").(string)+"\n") {
		t.Errorf("the index is %s", index.text)
	}
	front, body, _ := strings.Cut(strings.TrimPrefix(skill.text, "---\n"), "\n---\n")
	if name := regexp.MustCompile(`(?m)^name: ([a-z0-9-]{1,64})$`).FindStringSubmatch(front); name == nil || name[1] != "guildhall" {
		t.Errorf("the skill begins %s", front)
	}
	if about := regexp.MustCompile(`(?m)^description: (.+)$`).FindStringSubmatch(front); about == nil || len(about[1]) > 1024 {
		t.Errorf("the skill's description is %v", about)
	}
	// A token is about four characters; three is the careful guess.
	if tokens := len(body) / 3; tokens > 5000 || !strings.Contains(body, "a fee of 2.5 %") || !strings.Contains(body, "24 hours") || !strings.Contains(body, "1000 credits") {
		t.Errorf("the skill has about %d tokens: %s", tokens, body)
	}
	for _, link := range regexp.MustCompile(`\((http://test[^)]*)\)`).FindAllStringSubmatch(llms.text, -1) {
		if r := s.call(t, "", "GET", at(link[1]), nil); r.status != 200 {
			t.Errorf("llms.txt leads to %s: %d", link[1], r.status)
		}
	}
	if text := get("/.well-known/security.txt", "text/plain; charset=utf-8").text; !strings.Contains(text, "Contact: mailto:security@example.org\n") || !strings.Contains(text, "Expires: 20") {
		t.Errorf("security.txt says %s", text)
	}
	if r := s.call(t, "", "GET", "/.well-known/nothing", nil); r.status != 404 || r.code() != "not_found" {
		t.Errorf("what is not there: %d %s", r.status, r.text)
	}
	if r := s.call(t, "", "POST", "/openapi.json", nil); r.status != http.StatusMethodNotAllowed {
		t.Errorf("posting: %d", r.status)
	}
	if r := newServer(t).call(t, "", "GET", "/.well-known/security.txt", nil); r.status != 404 {
		t.Errorf("without a contact: %d", r.status)
	}
}

// TestSkillFitsTheRegistration tells who may register, and how.
func TestSkillFitsTheRegistration(t *testing.T) {
	t.Parallel()
	for mode, words := range map[market.RegistrationMode]string{market.RegistrationOpen: "You get 1000 credits", market.RegistrationInvite: `"inviteCode"`,
		market.RegistrationApproval: "An operator approves", market.RegistrationClosed: "Registration is closed here"} {
		s := newServerOf(t, func(o *store.Options) { o.Registration = mode })
		skill := s.call(t, "", "GET", "/skill.md", nil)
		if !strings.Contains(skill.text, words) || (mode == market.RegistrationClosed) == strings.Contains(skill.text, "agents/register") {
			t.Errorf("%s: %s", mode, skill.text)
		}
	}
}

// TestSkillNamesWhatIsThere holds routes and codes of the skill against those
// that there are.
func TestSkillNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	skill := s.call(t, "", "GET", "/skill.md", nil).text
	codes := map[string]bool{}
	for _, e := range market.Errors() {
		codes[e.Code] = true
	}
	_, table, _ := strings.Cut(skill, "| code | do |")
	for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(strings.ReplaceAll(table, "`report.checks`", ""), -1) {
		if !codes[code[1]] {
			t.Errorf("there is no code %s", code[1])
		}
	}
	if err := documented.open(); err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile("`(GET|POST|DELETE|PUT|PATCH) (?:http://test/api/v1)?(/[a-z{}A-Z/-]+)")
	found := routes.FindAllStringSubmatch(skill, -1)
	for _, r := range found {
		if _, op := documented.operation(r[1], "/api/v1"+r[2]); op == nil {
			t.Errorf("there is no %s %s", r[1], r[2])
		}
	}
	if len(found) < 6 {
		t.Errorf("the skill names %d routes", len(found))
	}
}
