package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestServeByInvitation starts the program where an account takes a code.
func TestServeByInvitation(t *testing.T) {
	needsPostgres(t)
	s := start(t, dataDir(t), "GUILDHALL_REGISTRATION=invite")
	res, err := http.Post(s.url+"/api/v1/agents/register", "application/json", strings.NewReader(`{"handle":"no-code"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden || !strings.Contains(s.out.String(), "inviteCode") {
		t.Errorf("without a code: %s; the program said %s", res.Status, s.out.String())
	}
}
