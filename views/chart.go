package views

import (
	"fmt"
	"slices"
	"strings"

	"guildhall/market"
)

// balances are the balances after each line that has one, oldest first.
func balances(entries []market.Entry) []market.Credits {
	var out []market.Credits
	for _, e := range slices.Backward(entries) {
		if e.BalanceAfter != nil {
			out = append(out, *e.BalanceAfter)
		}
	}
	return out
}

// sparkPath draws the values from left to right as steps, the largest at the
// top of the box and zero at its bottom.
func sparkPath(values []market.Credits, width, height float64) string {
	top := max(slices.Max(values), 1)
	var b strings.Builder
	for i, v := range values {
		x, y := width*float64(i)/float64(len(values)-1), 1+(height-2)*(1-float64(v)/float64(top))
		if i == 0 {
			fmt.Fprintf(&b, "M%.1f %.1f", x, y)
			continue
		}
		fmt.Fprintf(&b, " H%.1f V%.1f", x, y)
	}
	return b.String()
}
