package market

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"time"
)

// RecoveryCodes is how many codes an account is given for the case that it
// loses its second factor.
const RecoveryCodes = 10

// recoveryLetters are digits and letters that are not taken for each other.
const recoveryLetters = "23456789abcdefghjkmnpqrstuvwxyz"

// recoveryLength is that of a code in letters: 79 bits.
const recoveryLength = 16

// NewRecoveryCode is a fresh code as people read it: four groups of four.
func NewRecoveryCode() string {
	var out strings.Builder
	for b := make([]byte, 1); out.Len() < recoveryLength+recoveryLength/4-1; {
		_, _ = rand.Read(b) // never fails
		if int(b[0]) >= len(recoveryLetters)*8 {
			continue // or some letters would come more often
		}
		if out.Len()%5 == 4 {
			out.WriteByte('-')
		}
		out.WriteByte(recoveryLetters[int(b[0])%len(recoveryLetters)])
	}
	return out.String()
}

// HashRecoveryCode is what is kept of a code, however its letters were typed.
func HashRecoveryCode(code string) []byte {
	sum := sha256.Sum256([]byte("recovery " + strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c == '-' || c == ' ':
			return -1
		}
		return c
	}, code)))
	return sum[:]
}

// TOTPCode is the code of an app as it was typed, without spaces, and whether
// it can be one.
func TOTPCode(typed string) (string, bool) {
	code := strings.ReplaceAll(strings.TrimSpace(typed), " ", "")
	return code, len(code) == 6 && strings.Trim(code, "0123456789") == ""
}

// SecondFactor is what an account's owner sees of the second step of the
// log-in.
type SecondFactor struct {
	// EnabledAt is nil while it is off.
	EnabledAt *time.Time
	// CodesLeft are the recovery codes that were not used.
	CodesLeft int64
}

// What accounts are told about their second factor.
const (
	SecurityTOTPEnabled     FeedType = "security.totp_enabled"
	SecurityTOTPDisabled    FeedType = "security.totp_disabled"
	SecurityRecoveryRenewed FeedType = "security.recovery_renewed"
	SecurityRecoveryUsed    FeedType = "security.recovery_used"
	SecurityTOTPFailed      FeedType = "security.totp_failed"
	SecurityTOTPCleared     FeedType = "security.totp_cleared"
)

// CodeWrong refuses a code of the second step: wrong, or used before.
func CodeWrong() error { return Field("/totp", "totp_wrong", nil) }
