package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"
)

// recipients is the list of the vault's page, for other devices.
func (b *tab) recipients() []string {
	b.t.Helper()
	b.open("/vault")
	b.step("ready")
	return strings.Fields(eval[string](b, `document.querySelector('[data-recipients]').value`))
}

// join adds recipients on the vault's page and waits for what is said.
func (b *tab) join(said string, recipients ...string) {
	b.t.Helper()
	b.open("/vault")
	b.until(`[...document.querySelectorAll('section[data-step]')].some(e => !e.hidden)`)
	part := `section[data-needs-keys]`
	if eval[bool](b, `!document.querySelector('section[data-step="new"]').hidden`) {
		part = `section[data-step="new"]`
		b.click(part + ` summary`)
	}
	b.set(part+` [data-join]`, strings.Join(recipients, "\n"))
	b.act(part + ` [data-act="join"]`)
	b.said(said)
}

func (b *tab) rotate(file string) string {
	b.t.Helper()
	b.open("/vault")
	b.step("ready")
	b.act(`[data-act="rotate"]`)
	return b.saveRecovery(file)
}

// equal compares sets of recipients.
func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("%s: sealed to %q, want %q", what, got, want)
	}
}

// otherTab makes a recovery key in another tab of the same browser, whose page
// of the vault begins with the step and the button, and returns the recipients.
func (b *tab) otherTab(step, act string) []string {
	b.t.Helper()
	return strings.Fields(eval[string](b, fmt.Sprintf(`(async () => {
		const w = window.open('/vault');
		const wait = async f => { for (let i = 0; i < 600; i++) { try { if (f()) return } catch {} await new Promise(r => setTimeout(r, 50)) } throw new Error(f) };
		const q = s => w.document.querySelector(s);
		await wait(() => !q('section[data-step="%s"]').hidden);
		q('[data-act="%s"]').click();
		await wait(() => !q('section[data-step="saving"]').hidden);
		q('[data-recovery-last]').value = q('[data-recovery-text]').value.trim().slice(-6);
		q('[data-act="saved"]').click();
		await wait(() => !q('section[data-step="ready"]').hidden);
		const list = q('[data-recipients]').value; w.close(); return list;
	})()`, step, act)))
}

func newRecipient(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// TestDevicesOfVault: a recovery key that is replaced and a device that is
// removed are shut out for good, on every browser of the publisher, and nothing
// that is typed wrong can spoil the keys.
func TestDevicesOfVault(t *testing.T) {
	needsPostgres(t)
	s := start(t, dataDir(t))
	first, second := newTab(t, s.url), newTab(t, s.url)
	first.person("device-owner")
	first.open("/vault")
	first.makeKeys()
	list := first.recipients()
	if len(list) != 2 || !strings.HasPrefix(list[1], "recovery:") {
		t.Fatalf("the list is %q", list)
	}
	mine, oldRecovery := list[0], list[1]

	// One letter is wrong: the bech32 checksum tells.
	wrong := mine[:30] + map[bool]string{true: "p", false: "q"}[mine[30] == 'q'] + mine[31:]
	second.logIn("device-owner")
	second.join("no-recipient", wrong, oldRecovery)
	second.join("joined", list...)
	theirs := second.recipients()[0]
	equal(t, "the second browser", second.recipients(), theirs, mine, oldRecovery)

	// A new recovery key of the second browser drops the old one there, and
	// here once its list is pasted; the list from before brings it back nowhere.
	second.rotate("renewed.txt")
	renewed := second.recipients()
	first.join("joined", renewed...)
	equal(t, "the second browser, renewed", renewed, append(first.recipients()[1:], mine)...)
	if strings.Contains(strings.Join(renewed, " "), strings.TrimPrefix(oldRecovery, "recovery:")) {
		t.Errorf("the old recovery key is still among %q", renewed)
	}
	second.join("joined-some", list...)
	equal(t, "the second browser, told the old list", second.recipients(), renewed...)

	// Another tab of the first browser makes a new recovery key; what this tab
	// does then keeps it.
	first.open("/vault")
	first.step("ready")
	kept := first.otherTab("ready", "rotate")
	lost := newRecipient(t)
	first.set(`section[data-needs-keys] [data-join]`, lost)
	first.act(`section[data-needs-keys] [data-act="join"]`)
	first.said("joined")
	equal(t, "after both tabs", first.recipients(), append(slices.Clone(kept), lost)...)

	// A lost device is removed, and comes back alone only.
	first.act(`[data-other="` + lost + `"] [data-act="remove"]`)
	first.said("removed")
	equal(t, "after the removal", first.recipients(), kept...)
	first.join("joined-some", theirs, lost)
	equal(t, "after a list with it", first.recipients(), kept...)
	first.join("joined", lost)
	equal(t, "brought back", first.recipients(), append(slices.Clone(kept), lost)...)

	// Ten are the most that the server takes.
	var many []string
	for range 10 - len(first.recipients()) {
		many = append(many, newRecipient(t))
	}
	first.join("too-many", append(many, newRecipient(t))...)
	first.join("joined", many...)
	first.join("too-many", newRecipient(t))
	first.rotate("again.txt") // takes the place of one
	if n := len(first.recipients()); n != 10 {
		t.Errorf("%d recipients", n)
	}
	first.publishSealed("For ten", "apiToken", "s3cret", false)

	// A page that knows of no keys yet adds to those that another tab has made.
	third := newTab(t, s.url)
	third.logIn("device-owner")
	third.open("/vault")
	third.step("new")
	made := third.otherTab("new", "make")
	third.click(`section[data-step="new"] summary`)
	third.set(`section[data-step="new"] [data-join]`, mine)
	third.act(`section[data-step="new"] [data-act="join"]`)
	third.said("joined")
	equal(t, "a tab that was open before", third.recipients(), append(made, mine)...)
}

// TestSealingAgain: what the server refused can be sealed again, nothing is sent
// twice, and what would be refused is so before anything is typed.
func TestSealingAgain(t *testing.T) {
	needsPostgres(t)
	s := start(t, dataDir(t))
	w := tap(t, s.url, "127.0.0.1")
	b := newTab(t, w.url)
	b.person("sealing-owner")
	b.open("/tasks/new")
	b.fill(map[string]string{"title": "Too dear", "brief": "Log in with the token and count the pages.", "reward": "900000"})
	b.click(`#protectedFields`)
	b.click(`.form-foot .btn-cta`)
	b.until(`document.querySelector('.error-summary, .notice-bad')?.textContent.includes('900000')`)
	b.fill(map[string]string{"reward": "50"})
	w.slow.Store(int64(2 * time.Second))
	b.click(`.form-foot .btn-cta`)
	b.until(`document.getElementById('vault')`)
	w.slow.Store(0)
	b.makeKeys()
	b.set(`[data-rows] input`, "apiToken")
	b.set(`[data-rows] textarea`, "first")
	eval[bool](b, `(form => { form.submit = () => form.dataset.at = Date.now(); return true })(document.querySelector('form[data-sealed]'))`)
	b.act(`[data-act="publish"]`)
	b.until(`document.querySelector('form[data-sealed]').dataset.at`)
	made, err := uuid.Parse(eval[string](b, `document.querySelector('form[data-sealed]').elements['protectedFields.taskId'].value`))
	if err != nil {
		t.Fatal(err)
	}
	sec, nsec := made.Time().UnixTime()
	if ahead := eval[float64](b, fmt.Sprintf(`%d - document.querySelector('form[data-sealed]').dataset.at`, sec*1000+nsec/1e6)); ahead > 0 {
		t.Errorf("the task's id is %v ms ahead of the clock", ahead)
	}
	task, _ := b.publishSealed("Check the staging site", "apiToken", "first", false)

	again := func() {
		b.open("/tasks/" + task + "/vault")
		b.step("ready")
		b.act(`[data-act="open"]`)
		b.said("opened")
	}
	// Another device was faster: this revision is refused, and not remembered.
	again()
	eval[bool](b, `(document.getElementById('vault').dataset.revision = 4, true)`)
	b.act(`[data-act="reseal"]`)
	b.until(`document.querySelector('.error-summary, .notice-bad:not([hidden])') && document.getElementById('vault').dataset.revision === '1'`)
	again()
	// What is too long is not sent, and stays.
	b.set(`[data-rows] textarea`, strings.Repeat("x", 60000))
	b.act(`[data-act="reseal"]`)
	b.said("too-long")
	// Once is enough.
	again()
	b.set(`[data-rows] textarea`, "second")
	eval[bool](b, `(form => { window.sent = 0; form.submit = () => window.sent++; return true })(document.querySelector('form[data-opened]'))`)
	b.act(`[data-act="reseal"]`)
	b.until(`window.sent === 1`)
	b.still()
	if !eval[bool](b, `(b => { const was = b.disabled; b.click(); return was })(document.querySelector('[data-act="reseal"]'))`) {
		t.Error("the button can be pressed while its form is on the way")
	}
	b.still()
	if n := eval[int](b, `window.sent`); n != 1 {
		t.Errorf("the form was sent %d times", n)
	}
	again()
	b.act(`[data-act="reseal"]`)
	b.until(`document.querySelector('#flash').textContent.includes('Sealed anew')`)
	again()
	b.attack("the revision before", `d.revision = 1`, "rolled-back")
}
