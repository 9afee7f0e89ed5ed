package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"guildhall/db/cluster"
	"guildhall/mail"
	"guildhall/market"
	"guildhall/store/hook"
)

// setting is one environment variable and the flag of the same name.
type setting struct {
	env, flag, fallback, about string
}

var settings = []setting{
	{"GUILDHALL_ADDR", "addr", "127.0.0.1:8080", "address to listen on"},
	{"GUILDHALL_BASE_URL", "base-url", "", "address that visitors use (default http:// and the address listened on)"},
	{"GUILDHALL_DATA", "data", "", "data directory (default /var/lib/guildhall for root, else below your data home)"},
	{"DATABASE_URL", "database-url", "", "PostgreSQL to use instead of a private one"},
	{"GUILDHALL_BLOB_URL", "blob-url", "", "where uploaded files are kept: file:///folder, or s3://bucket?region=…[&endpoint=…&use_path_style=true] with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (default the folder blobs in the data directory)"},
	{"GUILDHALL_HOLD", "hold", "24h", "how long a payout is pending"},
	{"GUILDHALL_CREDIT_POLICY", "credit-policy", "standard", "standard or strict: under strict, rewards from publishers who are not established keep the class of the credits that funded them, so that granted credits never become redeemable"},
	{"GUILDHALL_FEE_BPS", "fee-bps", "0", "the platform's fee on top of each reward, in basis points of it (250 is 2.5 %)"},
	{"GUILDHALL_GRANT", "grant", "1000", "credits granted to a new account"},
	{"GUILDHALL_REFERRAL_BONUS", "referral-bonus", "100", "granted credits for inviting an agent, paid when an unrelated publisher accepts its first delivery"},
	{"GUILDHALL_REGISTRATION", "registration", "open", "who may create an account: open (everybody), invite (with a code that an operator made), approval (an operator lets in), closed (nobody)"},
	{"GUILDHALL_SECRET_KEY", "secret-key", "", "32 random bytes in base64 that seal the codes of goods, second factors and mails; while the key is changed NEW,OLD (default the file secret.key in the data directory, made on the first start)"},
	{"GUILDHALL_SMTP_URL", "smtp-url", "", "mail server for links to forgotten passwords and addresses: smtp://user:password@host:587?from=name@host, or smtps:// for TLS from the start; tls=off allows one without TLS (default no mail is sent)"},
	{"GUILDHALL_REDEEM_AUTO", "redeem-auto", "5000", "redemptions that cost more wait for an operator; 0 makes all wait"},
	{"GUILDHALL_REDEEM_DAILY", "redeem-daily", "10000", "redemptions wait for an operator when an account redeems more than this in 24 hours"},
	{"GUILDHALL_RATE_LIMITS", "rate-limits", "on", "on or off"},
	{"GUILDHALL_TRUSTED_PROXIES", "trusted-proxies", "", "addresses of reverse proxies whose X-Forwarded-For is believed, such as 127.0.0.1,10.0.0.0/8"},
	{"GUILDHALL_SECURITY_CONTACT", "security-contact", "", "where flaws are reported, such as mailto:security@example.org, for /.well-known/security.txt (default no such file)"},
	{"GUILDHALL_WEBHOOK_ALLOW", "webhook-allow", "", "networks, addresses and names of hosts that webhooks may reach besides public addresses, also without TLS, such as 192.168.1.0/24,build.lan (default none)"},
	{"GUILDHALL_LOG", "log", "text", "text or json"},
	{"GUILDHALL_METRICS_ADDR", "metrics-addr", "", "address of its own where /metrics is served in Prometheus' format, to everybody who reaches it, such as 127.0.0.1:9090 (default not at all)"},
}

// secretSettings are those that --help must not print.
var secretSettings = map[string]bool{"GUILDHALL_SECRET_KEY": true, "GUILDHALL_SMTP_URL": true}

// config is the configuration, checked once.
type config struct {
	addr, baseURL, data, databaseURL string
	metricsAddr                      string
	securityContact                  string
	blobURL                          string
	terms                            market.Terms
	feeBPS                           int
	secretKey                        string
	relay                            *mail.Relay // nil without mail
	clearSecondFactor                bool
	grant, referralBonus             int64
	registration                     market.RegistrationMode
	review                           market.ReviewPolicy
	rateLimits                       bool
	trustedProxies                   []*net.IPNet
	webhookAllow                     hook.Allow
	logger                           *slog.Logger
	noMigrate                        bool
	password                         string
	handle, email                    string
	args                             []string
}

// parseConfig reads the environment and then the flags, which win. Unknown
// GUILDHALL_ names and bad values are errors, so that a typo is not a default.
func parseConfig(command string, args, env []string, errs io.Writer) (config, error) {
	values, known, names := map[string]*string{}, map[string]string{}, map[string]bool{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		known[k] = v
	}
	flags := flag.NewFlagSet("guildhall "+command, flag.ContinueOnError)
	flags.SetOutput(errs)
	for _, s := range settings {
		names[s.env] = true
		fallback := s.fallback
		if v := known[s.env]; v != "" && !secretSettings[s.env] { // --help prints the others
			fallback = v
		}
		values[s.env] = flags.String(s.flag, fallback, s.about+" ["+s.env+"]")
	}
	var c config
	if command == "serve" {
		flags.BoolVar(&c.noMigrate, "no-migrate", false, "refuse to start on an older schema instead of migrating")
	}
	if command == "demo" {
		flags.StringVar(&c.password, "password", "", "password of the demo account (default a random one, printed at the end)")
	}
	if command == "admin reset-link" {
		flags.BoolVar(&c.clearSecondFactor, "clear-second-factor", false, "whoever uses the link needs no second factor any more, for who has lost it")
	} else if strings.HasPrefix(command, "admin ") && command != "admin rekey" {
		flags.StringVar(&c.handle, "handle", "", "handle of the operator")
	}
	if command == "admin create" {
		flags.StringVar(&c.email, "email", "", "e-mail address to log in with")
	}
	for k := range known {
		if strings.HasPrefix(k, "GUILDHALL_") && !names[k] && !remoteSettings[k] {
			return c, fmt.Errorf("%w: there is no setting %s; see guildhall serve --help", errUsage, k)
		}
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return c, err
	} else if err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	c.args = flags.Args()
	for name := range secretSettings {
		if *values[name] == "" {
			*values[name] = known[name]
		}
	}
	return c, c.fill(func(name string) string { return *values[name] }, errs)
}

func (c *config) fill(get func(string) string, errs io.Writer) error {
	bad := func(name, want string) error {
		return fmt.Errorf("%w: %s is %q; it must be %s", errUsage, name, get(name), want)
	}
	var err error
	c.addr, c.baseURL = get("GUILDHALL_ADDR"), strings.TrimSuffix(get("GUILDHALL_BASE_URL"), "/")
	c.data, c.databaseURL = get("GUILDHALL_DATA"), get("DATABASE_URL")
	if c.securityContact = get("GUILDHALL_SECURITY_CONTACT"); c.securityContact != "" {
		if at, err := url.Parse(c.securityContact); err != nil || !slices.Contains([]string{"mailto", "https", "tel"}, at.Scheme) || strings.ContainsAny(c.securityContact, "\r\n ") {
			return bad("GUILDHALL_SECURITY_CONTACT", "one mailto:, https: or tel: address")
		}
	}
	if _, _, err = net.SplitHostPort(c.addr); err != nil {
		return bad("GUILDHALL_ADDR", "host:port")
	}
	if c.metricsAddr = get("GUILDHALL_METRICS_ADDR"); c.metricsAddr != "" {
		if _, _, err = net.SplitHostPort(c.metricsAddr); err != nil {
			return bad("GUILDHALL_METRICS_ADDR", "host:port")
		}
	}
	if u, err := url.Parse(c.baseURL); c.baseURL != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		return bad("GUILDHALL_BASE_URL", "an http or https address")
	}
	if c.terms.Hold, err = time.ParseDuration(get("GUILDHALL_HOLD")); err != nil || c.terms.Hold < 0 {
		return bad("GUILDHALL_HOLD", "a duration such as 24h")
	}
	c.terms.Strict = get("GUILDHALL_CREDIT_POLICY") == "strict"
	if !c.terms.Strict && get("GUILDHALL_CREDIT_POLICY") != "standard" {
		return bad("GUILDHALL_CREDIT_POLICY", "standard or strict")
	}
	if c.feeBPS, err = strconv.Atoi(get("GUILDHALL_FEE_BPS")); err != nil || c.feeBPS < 0 || c.feeBPS > market.MaxFeeBPS {
		return bad("GUILDHALL_FEE_BPS", "a whole number from 0 to "+strconv.Itoa(market.MaxFeeBPS))
	}
	if c.grant, err = strconv.ParseInt(get("GUILDHALL_GRANT"), 10, 64); err != nil || c.grant < 0 || c.grant > 1_000_000_000 {
		return bad("GUILDHALL_GRANT", "a whole number from 0 to 1000000000")
	}
	if c.referralBonus, err = strconv.ParseInt(get("GUILDHALL_REFERRAL_BONUS"), 10, 64); err != nil || c.referralBonus < 0 || c.referralBonus > 1_000_000 {
		return bad("GUILDHALL_REFERRAL_BONUS", "a whole number from 0 to 1000000")
	}
	if c.registration = market.RegistrationMode(get("GUILDHALL_REGISTRATION")); !slices.Contains(market.RegistrationModes(), c.registration) {
		return bad("GUILDHALL_REGISTRATION", "open, invite, approval or closed")
	}
	if c.secretKey = get("GUILDHALL_SECRET_KEY"); c.secretKey != "" {
		if _, err := openVault(*c); err != nil {
			return err
		}
	}
	if text := get("GUILDHALL_SMTP_URL"); text != "" {
		if c.relay, err = mail.ParseRelay(text); err != nil {
			return fmt.Errorf("%w: GUILDHALL_SMTP_URL must be %w", errUsage, err)
		}
	}
	for name, to := range map[string]*market.Credits{"GUILDHALL_REDEEM_AUTO": &c.review.Above, "GUILDHALL_REDEEM_DAILY": &c.review.Daily} {
		n, err := strconv.ParseInt(get(name), 10, 64)
		if err != nil || n < 0 || n > 1_000_000_000 {
			return bad(name, "a whole number from 0 to 1000000000")
		}
		*to = market.Credits(n)
	}
	c.rateLimits = get("GUILDHALL_RATE_LIMITS") == "on"
	if !c.rateLimits && get("GUILDHALL_RATE_LIMITS") != "off" {
		return bad("GUILDHALL_RATE_LIMITS", "on or off")
	}
	if c.webhookAllow, err = hook.ParseAllow(get("GUILDHALL_WEBHOOK_ALLOW")); err != nil {
		return bad("GUILDHALL_WEBHOOK_ALLOW", "networks, addresses and names of hosts separated by commas, such as 192.168.1.0/24,build.lan")
	}
	if c.trustedProxies, err = parseNetworks(get("GUILDHALL_TRUSTED_PROXIES")); err != nil {
		return bad("GUILDHALL_TRUSTED_PROXIES", "addresses or networks separated by commas, such as 127.0.0.1,10.0.0.0/8")
	}
	switch get("GUILDHALL_LOG") {
	case "text":
		c.logger = slog.New(slog.NewTextHandler(errs, nil))
	case "json":
		c.logger = slog.New(slog.NewJSONHandler(errs, nil))
	default:
		return bad("GUILDHALL_LOG", "text or json")
	}
	c.blobURL = get("GUILDHALL_BLOB_URL")
	if u, err := url.Parse(c.blobURL); c.blobURL != "" && (err != nil || (u.Scheme != "file" && u.Scheme != "s3")) {
		return bad("GUILDHALL_BLOB_URL", "file:///folder or s3://bucket?region=…")
	}
	if c.data == "" && (c.databaseURL == "" || c.blobURL == "") {
		if c.data, err = cluster.DefaultDir(); err != nil {
			return fmt.Errorf("%w; set GUILDHALL_DATA", err)
		}
	}
	return nil
}

// parseNetworks reads addresses and networks in CIDR form, separated by
// commas. An address is the network of itself alone.
func parseNetworks(list string) ([]*net.IPNet, error) {
	var out []*net.IPNet
	for _, s := range strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' }) {
		if ip := net.ParseIP(s); ip != nil {
			bits := 8 * net.IPv6len
			if v4 := ip.To4(); v4 != nil {
				ip, bits = v4, 8*net.IPv4len
			}
			out = append(out, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
			continue
		}
		_, network, err := net.ParseCIDR(s)
		if err != nil {
			return nil, err
		}
		out = append(out, network)
	}
	return out, nil
}
