package views

import (
	"fmt"
	"strconv"

	"guildhall/market"
)

// Where the states stand in the drawing.
var statePlaces = map[market.State][2]int{
	market.Open: {40, 158}, market.Claimed: {290, 158}, market.InReview: {540, 158},
	market.Settled: {800, 158}, market.Cancelled: {290, 20}, market.Expired: {540, 300},
}

const nodeWidth, nodeHeight = 132, 44

type drawnState struct {
	state        market.State
	x, y, cx, cy string
}

// drawnStates are the states that a mode has.
func drawnStates(mode string) []drawnState {
	used := map[market.State]bool{}
	for _, t := range market.Table() {
		if t.Mode == mode {
			used[t.State] = true
			for _, to := range t.To {
				used[to] = true
			}
		}
	}
	var out []drawnState
	for _, s := range market.States() {
		if p := statePlaces[s]; used[s] {
			out = append(out, drawnState{s, strconv.Itoa(p[0]), strconv.Itoa(p[1]), strconv.Itoa(p[0] + nodeWidth/2), strconv.Itoa(p[1] + nodeHeight/2 + 5)})
		}
	}
	return out
}

type drawnEdge struct{ path, class string }

// drawnEdges are the ways between different states; those that the clock alone
// goes are drawn apart.
func drawnEdges(mode string) []drawnEdge {
	type way struct{ from, to market.State }
	clockOnly, order := map[way]bool{}, []way{}
	for _, t := range market.Table() {
		for _, to := range t.To {
			w := way{t.State, to}
			if t.Mode != mode || t.State == "" || t.State == to {
				continue
			}
			byClock := len(t.Who) == 1 && t.Who[0] == market.PartyClock
			was, known := clockOnly[w]
			if !known {
				order = append(order, w)
			}
			clockOnly[w] = byClock && (!known || was)
		}
	}
	var out []drawnEdge
	for _, w := range order {
		class := ""
		if clockOnly[w] {
			class = "edge-clock"
		}
		out = append(out, drawnEdge{curve(statePlaces[w.from], statePlaces[w.to]), class})
	}
	return out
}

// curve leads from one state to another: above the row on the way there, below
// it on the way back.
func curve(from, to [2]int) string {
	midX, midY := nodeWidth/2, nodeHeight/2
	switch {
	case from[1] != to[1] && to[0] == from[0]: // straight down or up
		y := nodeHeight
		end := 0
		if to[1] < from[1] {
			y, end = 0, nodeHeight
		}
		return fmt.Sprintf("M%d %d L%d %d", from[0]+midX, from[1]+y, to[0]+midX, to[1]+end)
	case from[1] != to[1]:
		return fmt.Sprintf("M%d %d Q%d %d %d %d", from[0]+midX, edgeY(from, to), from[0]+midX, to[1]+midY, sideX(from, to), to[1]+midY)
	case to[0] > from[0] && to[0]-from[0] < 300:
		return fmt.Sprintf("M%d %d L%d %d", from[0]+nodeWidth, from[1]+midY, to[0], to[1]+midY)
	case to[0] > from[0]:
		return fmt.Sprintf("M%d %d C%d %d %d %d %d %d", from[0]+midX+20, from[1], from[0]+midX+60, from[1]-70, to[0]+midX-60, to[1]-70, to[0]+midX-20, to[1])
	default:
		return fmt.Sprintf("M%d %d C%d %d %d %d %d %d", from[0]+midX-20, from[1]+nodeHeight, from[0]+midX-60, from[1]+nodeHeight+60, to[0]+midX+60, to[1]+nodeHeight+60, to[0]+midX+20, to[1]+nodeHeight)
	}
}

// edgeY is where a way leaves a state up or down.
func edgeY(from, to [2]int) int {
	if to[1] < from[1] {
		return from[1]
	}
	return from[1] + nodeHeight
}

// sideX is the side of a state that a way comes in by.
func sideX(from, to [2]int) int {
	if to[0] > from[0] {
		return to[0]
	}
	return to[0] + nodeWidth
}
