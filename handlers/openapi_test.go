package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"guildhall/handlers"
	"guildhall/market"
)

// contract is the API's document, closed, with its schemas compiled as they
// are needed. Every answer that a test gets is held against it.
type contract struct {
	once     sync.Once
	err      error
	doc      map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

var documented contract

const contractURL = "https://example.org/openapi.json"

func (c *contract) open() error {
	c.once.Do(func() {
		text, err := json.Marshal(handlers.OpenAPI("http://test", "test", true))
		if err != nil {
			c.err = err
			return
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			c.err = err
			return
		}
		c.doc, c.compiled = v.(map[string]any), map[string]*jsonschema.Schema{}
		c.compiler = jsonschema.NewCompiler()
		c.compiler.DefaultDraft(jsonschema.Draft2020)
		c.compiler.AssertFormat()
		c.err = c.compiler.AddResource(contractURL, c.doc)
	})
	return c.err
}

// operation finds the path of the document that the address is one of.
func (c *contract) operation(method, path string) (string, map[string]any) {
	path, _, _ = strings.Cut(path, "?")
	parts, best := strings.Split(path, "/"), ""
	var found map[string]any
	for template, v := range c.doc["paths"].(map[string]any) {
		want := strings.Split(template, "/")
		op, ok := v.(map[string]any)[strings.ToLower(method)].(map[string]any)
		if len(want) != len(parts) || !ok {
			continue
		}
		fits := true
		for i := range want {
			fits = fits && (want[i] == parts[i] || strings.HasPrefix(want[i], "{"))
		}
		if fits && (best == "" || strings.Count(template, "{") < strings.Count(best, "{")) {
			best, found = template, op
		}
	}
	return best, found
}

// schema is compiled once.
func (c *contract) schema(at ...string) (*jsonschema.Schema, error) {
	for i := range at {
		at[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(at[i])
	}
	pointer := "#/" + strings.Join(at, "/")
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.compiled[pointer]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile(contractURL + strings.NewReplacer("{", "%7B", "}", "%7D", "*", "%2A").Replace(pointer))
	c.compiled[pointer] = s
	return s, err
}

// check returns what in the answer is not as the document says.
func (c *contract) check(method, path string, status int, header http.Header, text []byte) error {
	if err := c.open(); err != nil {
		return err
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	template, op := c.operation(method, path)
	if op == nil {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("%s %s is not documented", method, path)
	}
	answer, ok := op["responses"].(map[string]any)[fmt.Sprint(status)].(map[string]any)
	if !ok {
		return fmt.Errorf("%s %s answers %d, which is not documented: %s", method, template, status, text)
	}
	at := []string{"paths", template, strings.ToLower(method), "responses", fmt.Sprint(status)}
	if ref, ok := answer["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/responses/")
		at = []string{"components", "responses", name}
		answer = c.doc["components"].(map[string]any)["responses"].(map[string]any)[name].(map[string]any)
	}
	if header.Get("X-Request-Id") == "" {
		return fmt.Errorf("%s %s has no X-Request-Id", method, template)
	}
	media, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	content, _ := answer["content"].(map[string]any)
	if content[media] == nil {
		if content["*/*"] != nil || len(text) == 0 && status == http.StatusNotModified {
			return nil
		}
		return fmt.Errorf("%s %s answers %d as %s", method, template, status, media)
	}
	s, err := c.schema(append(at, "content", media, "schema")...)
	if err != nil {
		return err
	}
	if len(text) == 0 { // the head of an answer
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if err := s.Validate(v); err != nil {
		return fmt.Errorf("%s %s %d: %w\n%s", method, template, status, err, text)
	}
	return nil
}

// TestOpenAPIIsWhole holds the document against the specification and against
// the routes, both ways.
func TestOpenAPIIsWhole(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	served := s.call(t, "", "GET", "/openapi.json", nil)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(served.text))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	var routes, told []string
	for _, r := range handlers.RouteTable() {
		if strings.HasPrefix(r.Path, "/api/") {
			routes = append(routes, r.Method+" "+r.Path)
		}
	}
	ids := map[string]bool{}
	told = append(told, handlers.Documented()...)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s %s: %q %v", method, path, op.OperationID, op.Tags)
			}
			ids[op.OperationID] = true
		}
	}
	slices.Sort(routes)
	slices.Sort(told)
	for _, r := range routes {
		if !slices.Contains(told, r) {
			t.Errorf("%s is not documented", r)
		}
	}
	for _, r := range told {
		if !slices.Contains(routes, r) {
			t.Errorf("%s is documented but not served", r)
		}
	}
	if len(ids) != len(routes) {
		t.Errorf("the document has %d operations, want %d", len(ids), len(routes))
	}
	// Every refusal that programs can get stands somewhere.
	for _, e := range market.Errors() {
		if !strings.Contains(served.text, `"`+e.Code+`"`) && !ofPages[e.Code] {
			t.Errorf("%s is documented nowhere", e.Code)
		}
	}
}

// ofPages are refusals that only people meet.
var ofPages = map[string]bool{"login_failed": true, "email_taken": true, "method_not_allowed": true, "bundle_ended": true, "too_many_bundles": true,
	"link_invalid": true, "passkey_refused": true, "passkey_limit": true, "passkeys_off": true,
	"bind_code_unknown": true, "bind_code_used": true, "bind_code_expired": true, "bind_code_replaced": true, "agent_bound": true, "agent_inactive": true, "live_work_together": true}

// TestOpenAPIExamples sends the examples of the document.
// TestOpenAPIDescribesWebhooks: what receivers get is in the document too.
func TestOpenAPIDescribesWebhooks(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.want(t, 200, s.call(t, "", "GET", "/openapi.json", nil))
	hook := r.at("webhooks.event.post").(map[string]any)
	var headers []string
	for _, p := range hook["parameters"].([]any) {
		headers = append(headers, p.(map[string]any)["name"].(string))
	}
	if strings.Join(headers, " ") != "webhook-id webhook-timestamp webhook-signature" {
		t.Errorf("its headers are %v", headers)
	}
	about := r.at("webhooks.event.post.requestBody.content.application/json.schema.properties.type.description")
	for _, k := range market.FeedKinds() {
		if text, _ := about.(string); !strings.Contains(text, string(k.Type)) {
			t.Errorf("the types lack %s", k.Type)
		}
	}
	if text := r.text; !strings.Contains(text, `"name":"Last-Event-ID"`) || !strings.Contains(text, "/secret-requests/{requestId}/grant") {
		t.Error("the document lacks Last-Event-ID or requestId")
	}
}

func TestOpenAPIExamplesFit(t *testing.T) {
	t.Parallel()
	if err := documented.open(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, methods := range documented.doc["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			content := input(op.(map[string]any))
			if content["example"] == nil {
				continue
			}
			n++
			s, err := documented.schema("paths", path, method, "requestBody", "content", "application/json", "schema")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(content["example"]); err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
		}
	}
	if n < 5 {
		t.Errorf("%d examples", n)
	}
}

// TestEveryOperationWithstands sends valid, boundary and wrong bodies to every
// operation: what comes back is always documented, never a failure of ours.
// call holds each answer against the document.
func TestEveryOperationWithstands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	agent, judge := s.register(t), s.operatorKey(t)
	if err := documented.open(); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const absent = "01a20b77-e936-75e9-8ee4-5120c30a9cda"
	id := s.publish(t, agent, 10)
	sent := 0
	for path, methods := range documented.doc["paths"].(map[string]any) {
		for method, v := range methods.(map[string]any) {
			op := v.(map[string]any)
			if op["operationId"] == "reconcile" || op["operationId"] == "streamEvents" {
				continue // slow, or endless
			}
			key := agent
			if strings.Contains(path, "/admin/") {
				key = judge
			}
			at := strings.NewReplacer("{id}", id, "{handle}", "nobody-here", "{sha256}", strings.Repeat("ab", 32)).Replace(path)
			for strings.Contains(at, "{") {
				i, j := strings.Index(at, "{"), strings.Index(at, "}")
				at = at[:i] + absent + at[j+1:]
			}
			try := func(address string, body any) {
				t.Helper()
				sent++
				if got := s.call(t, key, strings.ToUpper(method), address, body, "Idempotency-Key", unique("walk")); got.status >= 500 {
					t.Errorf("%s %s with %.300v: %d %s", method, address, body, got.status, got.text)
				}
			}
			for _, p := range query(op) {
				for _, bad := range []string{"", "-1", "x", "99999999999999999999", "%00", strings.Repeat("z", 300), "null"} {
					try(at+"?"+p+"="+bad, nil)
				}
			}
			content := input(op)
			if content == nil {
				try(at, nil)
				continue
			}
			for range 12 {
				body := documented.anything(r, content["schema"].(map[string]any), 0)
				try(at, body)
				try(at, withNUL(body)) // PostgreSQL takes none in a text
			}
			for _, raw := range []string{"", "{", "[]", "null", `"x"`, "{}", `{"nothing":1}`, strings.Repeat("[", 20_000), `{"a":` + strings.Repeat("9", 400) + `}`} {
				try(at, raw)
			}
		}
	}
	if sent < 1000 {
		t.Errorf("only %d requests", sent)
	}
	s.balanced(t)
}

// withNUL puts the character U+0000 behind every text of a document.
func withNUL(v any) any {
	switch v := v.(type) {
	case string:
		return v + "\x00"
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withNUL(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = withNUL(v[k])
		}
		return out
	}
	return v
}

// input is the JSON body that the operation reads, nil for none.
func input(op map[string]any) map[string]any {
	body, _ := op["requestBody"].(map[string]any)
	media, _ := body["content"].(map[string]any)
	content, _ := media["application/json"].(map[string]any)
	return content
}

// query are the operation's parameters of the query.
func query(op map[string]any) (names []string) {
	list, _ := op["parameters"].([]any)
	for _, v := range list {
		p := v.(map[string]any)
		if p["in"] == "query" {
			names = append(names, p["name"].(string))
		}
		if ref, _ := p["$ref"].(string); ref == "#/components/parameters/limit" || ref == "#/components/parameters/cursor" {
			names = append(names, strings.TrimPrefix(ref, "#/components/parameters/"))
		}
	}
	return names
}

// anything is a value for the schema: mostly right, at a boundary, or of
// another type.
func (c *contract) anything(r *rand.Rand, schema map[string]any, depth int) any {
	wrong := []any{nil, true, -1, 0, 1e300, "", "x", "\u0000", strings.Repeat("é", 5000), []any{}, map[string]any{}, []any{nil}, "9999-99-99T99:99:99Z", int64(1) << 62}
	if depth > 0 && r.IntN(6) == 0 || depth > 6 {
		return wrong[r.IntN(len(wrong))]
	}
	if ref, ok := schema["$ref"].(string); ok {
		return c.anything(r, c.doc["components"].(map[string]any)["schemas"].(map[string]any)[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any), depth)
	}
	if one, ok := schema["anyOf"].([]any); ok {
		return c.anything(r, one[0].(map[string]any), depth)
	}
	if list, ok := schema["enum"].([]any); ok {
		return list[r.IntN(len(list))]
	}
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok {
		kind = kinds[0].(string)
	}
	number := func(name string, otherwise int64) int64 {
		if n, ok := schema[name].(json.Number); ok {
			v, _ := n.Int64()
			return v
		}
		return otherwise
	}
	switch kind {
	case "object":
		out := map[string]any{}
		members, _ := schema["properties"].(map[string]any)
		for name, m := range members {
			if r.IntN(4) > 0 {
				out[name] = c.anything(r, m.(map[string]any), depth+1)
			}
		}
		return out
	case "array":
		out := []any{}
		for range r.IntN(4) {
			out = append(out, c.anything(r, schema["items"].(map[string]any), depth+1))
		}
		return out
	case "integer":
		low, high := number("minimum", 0), number("maximum", 1000)
		return []int64{low, high, low - 1, high + 1, low + r.Int64N(high-low+1)}[r.IntN(5)]
	case "boolean":
		return r.IntN(2) == 0
	case "number":
		return r.Float64()
	case "string":
		switch schema["format"] {
		case "uuid":
			return "01a20b77-e936-75e9-8ee4-5120c30a9cda"
		case "date-time":
			return "2030-01-01T00:00:00Z"
		}
		low, high := number("minLength", 1), number("maxLength", 40)
		return strings.Repeat("a", int([]int64{low, high, max(low-1, 0), high + 1, low + r.Int64N(high-low+1)}[r.IntN(5)]))
	}
	return map[string]any{"any": []any{1, "two"}}
}
