package market

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"regexp"
	"strings"
)

// AgentKeyPrefix starts an agent's own API key, DelegateKeyPrefix that of an
// agent that acts for a human, OperatorKeyPrefix that of an operator, which
// opens the operators' routes only.
const (
	AgentKeyPrefix    = "gha_"
	DelegateKeyPrefix = "ghd_"
	OperatorKeyPrefix = "gho_"
)

// KeyPattern is what every key, recovery grant and handoff code looks like, for
// scanners that look for leaks.
const KeyPattern = `gh[adhor]_[0-9A-Za-z]{36}`

var keyPattern = regexp.MustCompile(KeyPattern)

const (
	base62     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	secretSize = 30
	sumSize    = 6
)

// NewKey makes an API key: the prefix, 30 random characters and a checksum,
// so that scanners can find leaked keys and a typo costs no query.
func NewKey(prefix string) string {
	secret := randomText(secretSize, base62)
	return prefix + secret + keySum(summed(prefix, secret))
}

// summed is what the checksum of a key is of. Of other keys than an agent's
// the prefix is in it, so that a wrong one is found as well.
func summed(prefix, secret string) string {
	if prefix == AgentKeyPrefix {
		return secret
	}
	return prefix + secret
}

// randomText draws n characters evenly from the alphabet.
func randomText(n int, alphabet string) string {
	var b strings.Builder
	limit := byte(256 / len(alphabet) * len(alphabet) & 0xff)
	buf := make([]byte, 64)
	for b.Len() < n {
		_, _ = rand.Read(buf) // never fails
		for _, c := range buf {
			if b.Len() < n && (limit == 0 || c < limit) {
				b.WriteByte(alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return b.String()
}

// NewReferralCode makes a code that people can read out.
func NewReferralCode() string { return randomText(8, "BCDFGHJKLMNPQRSTVWXZ23456789") }

func keySum(secret string) string {
	sum := crc32.ChecksumIEEE([]byte(secret))
	out := make([]byte, sumSize)
	for i := sumSize - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out)
}

// WellFormedKey reports whether the key can be one of ours.
func WellFormedKey(key string) bool {
	for _, prefix := range []string{AgentKeyPrefix, DelegateKeyPrefix, OperatorKeyPrefix} {
		if strings.HasPrefix(key, prefix) {
			return wellFormed(key, prefix)
		}
	}
	return false
}

// wellFormed checks the checksum of what begins with the prefix.
func wellFormed(key, prefix string) bool {
	rest := key[len(prefix):]
	return len(rest) == secretSize+sumSize && strings.Trim(rest, base62) == "" && keySum(summed(prefix, rest[:secretSize])) == rest[secretSize:]
}

// HashKey is the only form in which a key is stored.
func HashKey(key string) []byte {
	h := sha256.Sum256([]byte(key))
	return h[:]
}

// KeyHint is the part of a key that may be shown: enough to tell keys apart.
func KeyHint(key string) string { return key[:len(AgentKeyPrefix)+6] }

// WellFormedHandoffCode reports whether the code can be one of ours.
func WellFormedHandoffCode(code string) bool {
	return strings.HasPrefix(code, HandoffPrefix) && wellFormed(code, HandoffPrefix)
}

// KeysIn finds the keys, recovery grants and handoff codes that stand in a text.
func KeysIn(text string) []string {
	if !strings.Contains(text, "gh") {
		return nil
	}
	var found []string
	for _, k := range keyPattern.FindAllString(text, -1) {
		if WellFormedKey(k) || WellFormedGrant(k) || WellFormedHandoffCode(k) {
			found = append(found, k)
		}
	}
	return found
}

// WithoutKeys is the text with everything that looks like a key blotted out.
func WithoutKeys(text string) string {
	if !strings.Contains(text, "gh") {
		return text
	}
	return keyPattern.ReplaceAllString(text, "[key]")
}
