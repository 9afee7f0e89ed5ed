package views

import (
	"context"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp/totp"
)

// LogInCode is the screen with the second step of a log-in.
func LogInCode(ctx context.Context, f Form) Screen {
	return Screen{Title: T(ctx, "code.title"), Body: logInCode(f)}
}

// EnrolView is a secret for an app that waits for its first code.
type EnrolView struct {
	Form
	Secret string
	QR     QR
}

// EnrolTOTP is the screen with the secret for an app.
func EnrolTOTP(ctx context.Context, v EnrolView) Screen {
	return Screen{Title: T(ctx, "totp.title"), Body: enrolBody(v)}
}

// RecoveryCodes is the screen that shows these codes once.
func RecoveryCodes(ctx context.Context, codes []string) Screen {
	return Screen{Title: T(ctx, "recovery.title"), Body: recoveryBody(codes)}
}

// QR is a picture of square dots: the path of the dark ones, and how many a
// side has.
type QR struct {
	Path string
	Side int
}

// quiet is the white rim that readers need, in dots.
const quiet = 4

// EnrolQR is what an app photographs: the site, the account's name and the
// secret.
func EnrolQR(site, account, secret string) (QR, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return QR{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Guildhall " + strings.ReplaceAll(site, ":", " "), AccountName: account, Secret: raw})
	if err != nil {
		return QR{}, err
	}
	code, err := qr.Encode(key.URL(), qr.M, qr.Auto)
	if err != nil {
		return QR{}, err
	}
	side := code.Bounds().Dx()
	var path strings.Builder
	for y := range side {
		for x := range side {
			if dark, _, _, _ := code.At(x, y).RGBA(); dark == 0 {
				path.WriteString("M" + strconv.Itoa(x+quiet) + " " + strconv.Itoa(y+quiet) + "h1v1h-1z")
			}
		}
	}
	return QR{path.String(), side + 2*quiet}, nil
}

// inFours puts a space after every four letters.
func inFours(s string) string {
	var out strings.Builder
	for i, c := range s {
		if i > 0 && i%4 == 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(c)
	}
	return out.String()
}
