package verify

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/go-json-experiment/json/jsontext"

	"guildhall/market"
)

// Version names the engine in reports: its own version, which is raised
// whenever the same task and output may get another verdict, and those of the
// libraries that decide with it. A test holds these against go.mod.
const Version = "guildhall/1 cel-go/v0.33.2 jsonschema/v6.0.3"

// Identify adds to a report what was judged, and by what. It is for reports
// that no engine made, because it compiles nothing and remembers nothing.
func Identify(r market.Report, job Job) market.Report {
	r.Engine, r.RulesHash, r.OutputHash = Version, hashJSON(job.contract()), OutputHash(job.Output)
	return r
}

// OutputHash is "sha256:" and the hash in hex of the output's canonical JSON
// text (RFC 8785), so that outputs which differ in white space, the order of
// members or the way a number or a character is written have one hash. It is
// "" for what the limits of outputs refuse.
//
// Numbers are doubles here: integers beyond 2^53 that differ may have one hash.
func OutputHash(output []byte) string {
	if CheckJSON(output, OutputLimits) != nil {
		return ""
	}
	return hashJSON(output)
}

// contract is what the output must satisfy, in the words of the task's own
// JSON: {"outputSchema": …, "rules": […]}.
func (job Job) contract() []byte {
	part := func(document []byte, absent string) string {
		if len(document) == 0 {
			return absent
		}
		return string(document)
	}
	return []byte(`{"outputSchema":` + part(job.Schema, "null") + `,"rules":` + part(job.Rules, "[]") + `}`)
}

// compileHash lets a cache remember hashJSON. What has no hash is not
// remembered.
func compileHash(text []byte) (hash string, weight int, problems []Problem) {
	if hash = hashJSON(text); hash == "" {
		return "", 0, []Problem{{Detail: "The JSON has no canonical text."}}
	}
	return hash, 256, nil
}

// hashJSON hashes the canonical form of a JSON text, "" if it has none.
func hashJSON(text []byte) string {
	canonical, err := canonicalText(text)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// canonicalText is a JSON text in the form of RFC 8785: no white space, members
// sorted, numbers as a double prints. The text itself stays as it is.
func canonicalText(text []byte) ([]byte, error) {
	v := jsontext.Value(text).Clone()
	err := v.Canonicalize()
	return v, err
}
