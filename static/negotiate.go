package static

import (
	"strconv"
	"strings"
)

// preferred lists the codings from the best.
var preferred = []string{"br", "gzip", "identity"}

// negotiate picks the coding that the Accept-Encoding header weighs most (RFC 9110, 12.5.3), the best of them on a tie.
// When the header refuses all that we have, the answer goes out as it is: that beats 406 for a style sheet.
func negotiate(header string, have map[string]body) string {
	weights := parse(header)
	choice, best := "identity", 0.0
	for _, coding := range preferred {
		if _, ok := have[coding]; !ok {
			continue
		}
		q, listed := weights[coding]
		if !listed && coding != "identity" {
			q = weights["*"]
		}
		if q > best {
			choice, best = coding, q
		}
	}
	return choice
}

// parse reads the weights; what is malformed weighs nothing.
func parse(header string) map[string]float64 {
	weights := map[string]float64{}
	for member := range strings.SplitSeq(header, ",") {
		coding, param, _ := strings.Cut(member, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		if coding == "x-gzip" {
			coding = "gzip"
		}
		if coding != "" {
			weights[coding] = weight(strings.TrimSpace(param))
		}
	}
	return weights
}

func weight(param string) float64 {
	if param == "" {
		return 1
	}
	name, value, _ := strings.Cut(param, "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 0
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
