package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	api "guildhall/client"
	"guildhall/market"
	"guildhall/market/protected"
)

const vaultUsage = `Usage: guildhall vault ACTION [FLAGS]

Protected fields without a browser. A vault is a file with two keys that never leave it: one opens your own
copies (it is an identity file of age), one signs what you grant.

  init     --vault FILE                              make a vault
  restore  --vault FILE --identity RECOVERY          make a vault of the recovery file of a browser
  encrypt  --vault FILE [--recipient R] < VALUES     seal {"name":"value"}; prints protectedFields for POST /agent/tasks
  requests TASK                                      who asks for the protected fields of an own task
  grant    TASK REQUEST --vault FILE --fingerprint F seal them to the agent with that key
  deny     TASK REQUEST [--reason TEXT]              say no; the agent reads why
  revoke   TASK REQUEST [--reason TEXT]              take a grant back; what was fetched stays known
  reseal   TASK --vault FILE [--identity OLD]        seal them anew: for another vault, or with VALUES from --values
  open     TASK --vault FILE                         print your own copy
  open     TASK --identity KEY --hash H|--signer S   as an agent: print what you were granted, if it is what it
                                                     should be; H is protectedHash of your claim

The API key and the server are found as by the other commands: --key-file, GUILDHALL_KEY or the file that commands
keep it in; --server or GUILDHALL_SERVER.
`

// vaultCommand is a command line of guildhall vault.
type vaultCommand struct {
	*remote
	vault, identity           string
	fingerprint, hash, signer string
	values, reason            string
	days                      int
	recipients                []string
	in                        io.Reader
}

// vaultActions are what guildhall vault can do, with how many arguments each
// takes.
var vaultActions = map[string]struct {
	do   func(context.Context, vaultCommand) error
	args int
}{"init": {initVault, 0}, "restore": {restoreVault, 0}, "encrypt": {encryptVault, 0}, "requests": {listRequests, 1},
	"grant": {grantRequest, 2}, "deny": {denyRequest, 2}, "revoke": {revokeRequest, 2}, "reseal": {resealTask, 1}, "open": {openSecrets, 1}}

// vault seals and opens protected fields for who does not want to leave that to
// the pages of a server.
func vault(ctx context.Context, args, env []string, out, errs io.Writer) error {
	if len(args) > 0 && slices.Contains([]string{"help", "--help", "-h"}, args[0]) {
		fmt.Fprint(out, vaultUsage)
		return nil
	}
	if len(args) == 0 || vaultActions[args[0]].do == nil {
		return fmt.Errorf("%w: vault needs one of init, restore, encrypt, requests, grant, deny, revoke, reseal, open\n\n%s", errUsage, vaultUsage)
	}
	a := vaultActions[args[0]]
	v := vaultCommand{remote: newRemote("vault "+args[0], []string{"", "TASK ", "TASK REQUEST "}[a.args]+"[FLAGS]; see guildhall vault --help", out, errs), in: os.Stdin}
	f := v.flags
	f.StringVar(&v.vault, "vault", "", "the vault's file")
	f.StringVar(&v.identity, "identity", "", "an identity file of age: an agent's, or a recovery file")
	f.StringVar(&v.fingerprint, "fingerprint", "", "that of the agent's key, as the agent told you")
	f.StringVar(&v.hash, "hash", "", "protectedHash of your claim")
	f.StringVar(&v.signer, "signer", "", "the publisher's signerKey, if you know it otherwise")
	f.StringVar(&v.values, "values", "", "file with new values, - for the standard input")
	f.StringVar(&v.reason, "reason", "", "why a request is denied or a grant revoked, for the agent")
	f.IntVar(&v.days, "days", int(market.GrantLife.Hours()/24), "for how many days a grant can be fetched")
	f.Func("recipient", "another recipient of your own copies, such as a device's (repeatable)", func(s string) error {
		v.recipients = append(v.recipients, strings.TrimPrefix(s, "recovery:")) // as a browser's list has it
		return nil
	})
	if err := v.parse(args[1:], env, a.args, a.args); err != nil {
		return ignoreHelp(err)
	}
	return a.do(ctx, v)
}

// open reads the vault, which must be able to sign.
func (v vaultCommand) open() (vaultKeys, error) {
	if v.vault == "" {
		return vaultKeys{}, fmt.Errorf("%w: name the vault with --vault", errUsage)
	}
	k, err := readVault(v.vault)
	if err == nil && k.signer == nil {
		err = fmt.Errorf("%s has no signing key; guildhall vault restore --identity %s makes a vault of it", v.vault, v.vault)
	}
	return k, err
}

func (v vaultCommand) created(k vaultKeys) error {
	if v.vault == "" {
		return fmt.Errorf("%w: name the new file with --vault", errUsage)
	}
	if err := k.write(v.vault); err != nil {
		return err
	}
	_, err := fmt.Fprintf(v.out, "vault        %s\nrecipient    %s\nsigner key   %s\nfingerprint  %s\nKeep a copy of the file elsewhere: nobody can replace it.\n",
		v.vault, k.recipient, k.signerKey(), market.Fingerprint(k.signerKey()))
	return err
}

func initVault(_ context.Context, v vaultCommand) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	k, err := newVaultKeys(id)
	if err != nil {
		return err
	}
	return v.created(k)
}

// restoreVault makes a vault of a recovery file. Its signing key is new, which
// agents will see.
func restoreVault(_ context.Context, v vaultCommand) error {
	old, err := readVault(cmp.Or(v.identity, v.vault))
	if err != nil {
		return err
	}
	id, ok := old.identities[0].(*age.X25519Identity)
	if !ok {
		return fmt.Errorf("%s is no recovery file", v.identity)
	}
	k, err := newVaultKeys(id)
	if err != nil {
		return err
	}
	if old.signer != nil {
		k.signer = old.signer
	}
	return v.created(k)
}

// readValues reads {"name":"value"}.
func readValues(in io.Reader) (map[string]string, error) {
	var values map[string]string
	d := json.NewDecoder(io.LimitReader(in, market.MaxSealed))
	if err := d.Decode(&values); err != nil || len(values) == 0 {
		return nil, fmt.Errorf(`%w: the values must be JSON like {"name":"value"}`, errUsage)
	}
	return values, nil
}

func names(values map[string]string) []string {
	var all []string
	for n := range values {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// sealOwn seals the publisher's own copy.
func (v vaultCommand) sealOwn(k vaultKeys, task string, rev int, values map[string]string) (api.Sealed, error) {
	s := api.Sealed{OwnerRecipients: append([]string{k.recipient}, v.recipients...), SignerKey: k.signerKey()}
	var err error
	s.Ciphertext, err = protected.Seal(protected.Payload{Origin: v.server, Task: task, Rev: rev, To: protected.ToOwner,
		IssuedAt: time.Now().UTC().Truncate(time.Second), Values: values}, k.signer, s.OwnerRecipients...)
	return s, err
}

func encryptVault(_ context.Context, v vaultCommand) error {
	k, err := v.open()
	if err != nil {
		return err
	}
	values, err := readValues(v.in)
	if err != nil {
		return err
	}
	task := uuid.Must(uuid.NewV7()).String()
	s, err := v.sealOwn(k, task, 1, values)
	if err != nil {
		return err
	}
	s.TaskID, s.Names = task, names(values)
	return v.print(s)
}

// requests are all requests for the task's protected fields, newest first, and
// whether values must be changed now.
func (v vaultCommand) requests(ctx context.Context, c *api.Client) (found []api.SecretRequest, rotate bool, err error) {
	found = []api.SecretRequest{}
	for p := (api.Paging{Limit: 100}); ; {
		page, err := c.SecretRequests(ctx, v.args[0], p)
		if err != nil {
			return nil, false, err
		}
		for i := range page.Items { // a fingerprint is worth what one makes oneself
			page.Items[i].Fingerprint = market.Fingerprint(page.Items[i].Recipient)
		}
		found, rotate = append(found, page.Items...), rotate || page.Rotate
		if p.Cursor = page.NextCursor; p.Cursor == "" {
			return found, rotate, nil
		}
	}
}

const changeValues = "change the values where they open something."

func listRequests(ctx context.Context, v vaultCommand) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	found, rotate, err := v.requests(ctx, c)
	if err != nil {
		return err
	}
	if v.wantsJSON() {
		return v.print(map[string]any{"items": found, "rotate": rotate})
	}
	rows := [][]string{}
	for _, q := range found {
		score := "-"
		if q.Worker.Score != nil {
			score = strconv.Itoa(*q.Worker.Score)
		}
		rows = append(rows, []string{q.ID, q.State, q.Worker.Handle, score, q.Fingerprint, q.Familiar, clock(q.RequestedAt)})
	}
	if err := v.table("REQUEST STATE AGENT SCORE FINGERPRINT KEY ASKED", rows); err != nil {
		return err
	}
	if rotate {
		fmt.Fprintln(v.out, "Somebody who has no right to these values any more has fetched them: "+changeValues)
	}
	return nil
}

func denyRequest(ctx context.Context, v vaultCommand) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	q, err := c.DenySecrets(ctx, v.args[0], v.args[1], v.reason)
	if err != nil {
		return err
	}
	return v.said(q, line(q.Worker.Handle)+" is told no.")
}

func revokeRequest(ctx context.Context, v vaultCommand) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	q, err := c.RevokeSecrets(ctx, v.args[0], v.args[1], v.reason)
	if err != nil {
		return err
	}
	return v.said(q, line(q.Worker.Handle)+" cannot fetch them any more. If it did before, "+changeValues)
}

// said prints what came of it, or words for people.
func (v vaultCommand) said(result any, words string) error {
	if v.wantsJSON() {
		return v.print(result)
	}
	_, err := fmt.Fprintln(v.out, words)
	return err
}

// ownCopy fetches the publisher's own copy and opens it: signed by the vault, or
// by the key that --signer names.
func (v vaultCommand) ownCopy(ctx context.Context, c *api.Client, signer string, ids ...age.Identity) (api.Sealed, protected.Payload, error) {
	s, err := c.OwnSecrets(ctx, v.args[0])
	if err != nil {
		return s, protected.Payload{}, err
	}
	p, err := protected.Open(s.Ciphertext, protected.Want{Task: v.args[0], Rev: s.Revision, To: protected.ToOwner, Signer: cmp.Or(v.signer, signer)}, ids...)
	if errors.Is(err, protected.ErrSignature) && v.signer == "" {
		err = fmt.Errorf("%w; if it was your browser that signed it, compare %s with what that shows and name the key with --signer %s", err, market.Fingerprint(s.SignerKey), line(s.SignerKey))
	}
	return s, p, err
}

func grantRequest(ctx context.Context, v vaultCommand) error {
	k, err := v.open()
	if err != nil {
		return err
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	all, _, err := v.requests(ctx, c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(q api.SecretRequest) bool { return q.ID == v.args[1] })
	if i < 0 {
		return fmt.Errorf("there is no request %s", v.args[1])
	}
	q := all[i]
	// The server could name a key of its own: the one to compare with comes from
	// elsewhere.
	if v.fingerprint != q.Fingerprint {
		return fmt.Errorf("%w: the server says that %s has the key %s (%s); ask the agent for its fingerprint, and if it is this one, say so with --fingerprint %s",
			errUsage, line(q.Worker.Handle), q.Fingerprint, line(q.Familiar), q.Fingerprint)
	}
	s, own, err := v.ownCopy(ctx, c, k.signerKey(), k.identities...)
	if err != nil {
		return err
	}
	if s.SignerKey != k.signerKey() {
		return errors.New("agents expect another signing key than this vault's; seal the fields anew first: guildhall vault reseal")
	}
	bundle, err := protected.Seal(protected.Payload{Origin: v.server, Task: own.Task, Rev: own.Rev, To: v.fingerprint, Grant: q.ID,
		IssuedAt: time.Now().UTC().Truncate(time.Second), Values: own.Values}, k.signer, q.Recipient)
	if err != nil {
		return err
	}
	done, err := c.GrantSecrets(ctx, v.args[0], q.ID, api.SecretGrant{Revision: own.Rev, Bundle: bundle, Until: time.Now().Add(time.Duration(v.days) * 24 * time.Hour).UTC()})
	if err != nil {
		return err
	}
	return v.said(done, fmt.Sprintf("%s can fetch them now, for %d days.", line(q.Worker.Handle), v.days))
}

// resealTask makes the next revision, for the vault's keys.
func resealTask(ctx context.Context, v vaultCommand) error {
	k, err := v.open()
	if err != nil {
		return err
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	old := k
	if v.identity != "" {
		if old, err = readVault(v.identity); err != nil {
			return err
		}
	}
	signer := k.signerKey()
	if old.signer != nil {
		signer = old.signerKey()
	}
	s, own, err := v.ownCopy(ctx, c, signer, old.identities...)
	if err != nil {
		return err
	}
	values := own.Values
	if v.values != "" {
		in := v.in
		if v.values != "-" {
			f, err := os.Open(v.values)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		if values, err = readValues(in); err != nil {
			return err
		}
		if !slices.Equal(names(values), slices.Sorted(slices.Values(s.Names))) {
			return fmt.Errorf("%w: the names must stay %s", errUsage, strings.Join(s.Names, ", "))
		}
	}
	next, err := v.sealOwn(k, v.args[0], s.Revision+1, values)
	if err != nil {
		return err
	}
	next.Revision = s.Revision + 1
	if next, err = c.Reseal(ctx, v.args[0], next); err != nil {
		return err
	}
	return v.said(next, fmt.Sprintf("revision %d, signed by %s. Agents that claimed before see that the signing key changed, if it did.", next.Revision, market.Fingerprint(k.signerKey())))
}

// openSecrets prints the values: the publisher's own copy, or a bundle.
func openSecrets(ctx context.Context, v vaultCommand) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	var p protected.Payload
	switch {
	case v.vault != "":
		k, err := readVault(v.vault)
		if err != nil {
			return err
		}
		signer := ""
		if k.signer != nil {
			signer = k.signerKey()
		}
		if _, p, err = v.ownCopy(ctx, c, signer, k.identities...); err != nil {
			return err
		}
	case v.identity != "" && (v.hash != "" || v.signer != ""):
		if p, err = v.openBundle(ctx, c); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: vault open needs --vault, or --identity with --hash or --signer", errUsage)
	}
	return v.print(p.Values)
}

// openBundle opens what an agent was granted. What it knows of the publisher's
// key it knows from its claim, not from the server's answer of now.
func (v vaultCommand) openBundle(ctx context.Context, c *api.Client) (p protected.Payload, err error) {
	k, err := readVault(v.identity)
	if err != nil {
		return p, err
	}
	want := protected.Want{Task: v.args[0], Rev: 1, Later: true, To: market.Fingerprint(k.recipient), Signer: v.signer}
	if v.hash != "" {
		t, err := c.Task(ctx, v.args[0])
		if err != nil {
			return p, err
		}
		f := t.ProtectedFields
		if f == nil || (market.Protected{Revision: f.Revision, Names: f.Names, OwnerRecipients: f.OwnerRecipients, SignerKey: f.SignerKey}).Hash(market.TaskID(v.args[0])) != v.hash {
			return p, errors.New("the protected fields are not those of your claim any more: ask the publisher whether it sealed them anew, and name its key with --signer")
		}
		want.Rev, want.Later, want.Signer = f.Revision, false, f.SignerKey
	}
	b, err := c.FetchSecrets(ctx, v.args[0])
	if err != nil {
		return p, err
	}
	return protected.Open(b.Bundle, want, k.identities...)
}
