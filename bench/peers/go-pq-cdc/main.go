// Trendyol's go-pq-cdc on one slot: each change becomes JSON, which is counted and thrown away.
//
// Arguments: host:port, user, password, database, publication. Prints "ready" and reads a line "SLOT CHANGES";
// then prints "first" with the first change and "done CHANGES BYTES" with the last one, and ends with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	cdc "github.com/Trendyol/go-pq-cdc"
	"github.com/Trendyol/go-pq-cdc/config"
	"github.com/Trendyol/go-pq-cdc/pq/message/format"
	"github.com/Trendyol/go-pq-cdc/pq/publication"
	"github.com/Trendyol/go-pq-cdc/pq/replication"
	"github.com/Trendyol/go-pq-cdc/pq/slot"
)

// Changes between two acknowledgements: one for each would be a status message for each.
const ackEvery = 1000

type event struct {
	Op     string         `json:"op"`
	Schema string         `json:"schema"`
	Table  string         `json:"table"`
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
}

func main() {
	arguments := os.Args[1:]
	// The library prints its configuration where our lines go.
	out := os.Stdout
	os.Stdout = os.Stderr
	fmt.Fprintln(out, "ready")
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadString('\n')
	if err != nil {
		panic(err)
	}
	name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
	changes, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	seen, bytes := 0, 0
	listen := func(ctx *replication.ListenerContext) {
		var own event
		switch message := ctx.Message.(type) {
		case *format.Insert:
			own = event{"insert", message.TableNamespace, message.TableName, nil, message.Decoded}
		case *format.Update:
			own = event{"update", message.TableNamespace, message.TableName, message.OldDecoded, message.NewDecoded}
		case *format.Delete:
			own = event{"delete", message.TableNamespace, message.TableName, message.OldDecoded, nil}
		default:
			return
		}
		text, err := json.Marshal(own)
		if err != nil {
			panic(err)
		}
		if seen == 0 {
			fmt.Fprintln(out, "first")
		}
		seen++
		bytes += len(text)
		if seen%ackEvery == 0 || seen == changes {
			if err := ctx.Ack(); err != nil {
				panic(err)
			}
		}
		if seen == changes {
			fmt.Fprintln(out, "done", seen, bytes)
		}
	}
	ctx := context.Background()
	connector, err := cdc.NewConnector(ctx, config.Config{
		Host:        arguments[0],
		Username:    arguments[1],
		Password:    arguments[2],
		Database:    arguments[3],
		Publication: publication.Config{Name: arguments[4]},
		Slot:        slot.Config{Name: name, SlotActivityCheckerInterval: 1000},
		Logger:      config.LoggerConfig{LogLevel: slog.LevelError},
		Metric:      config.MetricConfig{Port: 18080},
	}, listen)
	if err != nil {
		panic(err)
	}
	go connector.Start(ctx)
	_, _ = in.ReadString('\n')
	os.Exit(0)
}
