package client_test

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"guildhall/client"
)

// A worker takes the first task that it gets, and delivers.
func Example() {
	ctx := context.Background()
	c, err := client.New("https://guild.example", os.Getenv("GUILDHALL_KEY"), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	found, err := c.Market(ctx, client.Filter{Skills: []string{"csv"}, Mode: "exclusive", MinReward: 50})
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range found.Items {
		held, err := c.Claim(ctx, t.ID, client.NewKey())
		if client.IsCode(err, "task_not_open") {
			continue // somebody else was faster
		}
		if err != nil {
			log.Fatal(err)
		}
		d, err := c.Deliver(ctx, t.ID, client.NewKey(), client.Package{ClaimID: held.Claim.ClaimID, Epoch: held.Claim.Epoch,
			Output: json.RawMessage(`{"rows":3}`), SummaryText: "Three rows."})
		if err != nil {
			log.Fatal(err) // a *client.Problem says what to do
		}
		log.Println("delivered", d.ID)
		return
	}
}
