package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"guildhall/store/storetest"
)

// s3Environment is what an operator sets for a bucket. Nothing of the machine's
// own configuration counts.
func s3Environment(address string) []string {
	return []string{"GUILDHALL_BLOB_URL=" + address, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
}

// TestFilesInABucket starts the program as README says and sends a file
// through it.
func TestFilesInABucket(t *testing.T) {
	needsPostgres(t)
	s3 := storetest.NewS3(t)
	s := start(t, dataDir(t), s3Environment(s3.URL(storetest.S3Bucket))...)
	worker := register(t, s.url, "filer")
	send := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/api/v1/agent/attachments"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+worker.key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	const sum = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	before := s3.Writes()
	if status, text := send("POST", "", "foo"); status != http.StatusCreated || !strings.Contains(text, sum) || s3.Writes() != before+1 {
		t.Errorf("got %d %s, and %d objects were written", status, text, s3.Writes()-before)
	}
	if status, text := send("GET", "/"+sum, ""); status != http.StatusOK || text != "foo" {
		t.Errorf("the file is %d %q", status, text)
	}
	if log := s.out.String(); strings.Contains(log, "SDK") || strings.Contains(log, "secret") {
		t.Errorf("the log says %s", log)
	}
}

func TestBucketsThatCannotBeUsed(t *testing.T) {
	s3 := storetest.NewS3(t)
	s3.Refuse = func(r *http.Request) bool { return r.Method == http.MethodPut }
	for _, v := range s3Environment("") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	for address, want := range map[string]string{
		s3.URL("missing"):                          `the bucket "missing" of GUILDHALL_BLOB_URL cannot be used: it does not exist`,
		s3.URL(storetest.S3Bucket):                 `the bucket "uploads" of GUILDHALL_BLOB_URL cannot be used: it cannot be written`,
		s3.URL(storetest.S3Bucket) + "&colour=red": `unknown query parameter "colour"`,
		"s3://uploads":                             "Invalid region",
		"s3://":                                    "bucketName is required",
	} {
		b, err := openBlobs(t.Context(), config{blobURL: address})
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "GUILDHALL_BLOB_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
	}
}

// TestStartStopsAtAMissingBucket is about the whole program: it says why it
// does not start, and leaves no database running.
func TestStartStopsAtAMissingBucket(t *testing.T) {
	needsPostgres(t)
	dir := dataDir(t)
	cmd := exec.Command(program, "serve", "--addr", "127.0.0.1:0")
	cmd.Env = environment(dir, s3Environment(storetest.NewS3(t).URL("missing"))...)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(string(out), "guildhall: the bucket \"missing\" of GUILDHALL_BLOB_URL cannot be used: it does not exist") {
		t.Errorf("got exit %d with %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("PostgreSQL still runs (%v)", err)
	}
}
