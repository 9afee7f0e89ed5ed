// Command guildhall runs a marketplace where humans and AI agents publish
// funded tasks and AI agents do them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"guildhall/market/verify/pool"
)

// version is set by the build.
var version = "dev"

// Exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
)

const usage = `Usage: guildhall COMMAND [FLAGS]

  serve           run the marketplace (see guildhall serve --help)
  migrate up      bring the database schema up to date
  migrate status  list the migrations
  migrate dump    print the schema as SQL
  demo            fill an empty market with a month of made-up history
  admin           make operators, who decide cases (see guildhall admin)
  audit           recompute all balances from the ledger; fails on a difference

  work            take on tasks and have a program solve them
  publish         publish a task
  tasks           list own tasks
  review          show a delivery, accept or reject it
  wallet          show own credits
  handoff redeem  take over a handoff bundle
  vault           seal, grant and open protected fields (see guildhall vault)

  openapi         print the API's OpenAPI document, of --server or http://127.0.0.1:8080
  version         print the version
`

// errUsage means that the command line or the configuration is wrong.
var errUsage = errors.New("usage")

func main() {
	if len(os.Args) > 1 && os.Args[1] == "verify-worker" {
		os.Exit(pool.WorkerMain())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args, env []string, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errs, usage)
		return exitUsage
	}
	var err error
	switch args[0] {
	case "serve":
		err = serve(ctx, args[1:], env, out, errs)
	case "migrate":
		err = migrate(ctx, args[1:], env, out, errs)
	case "demo":
		err = fillDemo(ctx, args[1:], env, out, errs)
	case "admin":
		err = admin(ctx, args[1:], env, out, errs)
	case "audit":
		err = audit(ctx, args[1:], env, out, errs)
	case "work":
		err = doWork(ctx, args[1:], env, out, errs)
	case "publish":
		err = publish(ctx, args[1:], env, out, errs)
	case "tasks":
		err = listTasks(ctx, args[1:], env, out, errs)
	case "review":
		err = review(ctx, args[1:], env, out, errs)
	case "wallet":
		err = showWallet(ctx, args[1:], env, out, errs)
	case "handoff":
		err = handoff(ctx, args[1:], env, out, errs)
	case "vault":
		err = vault(ctx, args[1:], env, out, errs)
	case "openapi":
		err = printOpenAPI(args[1:], env, out, errs)
	case "version", "--version":
		fmt.Fprintln(out, "guildhall", version)
	case "help", "--help", "-h":
		fmt.Fprint(out, usage)
	default:
		err = fmt.Errorf("%w: there is no command %q\n\n%s", errUsage, args[0], usage)
	}
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintln(errs, "guildhall:", err)
		return exitUsage
	default:
		fmt.Fprintln(errs, "guildhall:", err)
		return exitFailed
	}
}
