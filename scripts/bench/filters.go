package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"subwire/scripts/bench/report"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/shop"
)

// The planner with filters, which the chat has none of: the shop has.

const filterTitle = "One event for subscribers with filters"

// filterTable plans an event without filters, and with that many distinct ones.
func filterTable(subs []pubsub.Subscription, filters int, limits fanout.Limits) (report.Table, error) {
	t := report.Table{Title: filterTitle, Key: "filters", Columns: []string{"CPU µs", "% of none", "CPU ns/subscriber",
		"targets", "batches", "KB encoded"}}
	none := 0.0
	for _, distinct := range []int{0, filters} {
		pass, us, err := planFiltered(subs, distinct, limits)
		if err != nil {
			return t, err
		}
		if distinct == 0 {
			none = us
		}
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(distinct), us, 100*us/none, 1000*us/float64(len(subs)),
			float64(pass.targets), float64(pass.batches), float64(pass.bytes)/1000))
	}
	return t, nil
}

// planFiltered gives the subscriptions the filters in turn, and plans an event that one
// in a hundred of them lets pass. It returns the CPU time of a pass in microseconds.
func planFiltered(subs []pubsub.Subscription, filters int, limits fanout.Limits) (pass planned, us float64, err error) {
	most := max(1, filters/100) // the least totals that are asked for are 0 to filters-1
	root, err := json.Marshal(shop.Order{ID: eventID, ShopID: "bench", Status: shop.Placed, Total: float64(most) - 0.5})
	if err != nil {
		return pass, 0, err
	}
	e := pubsub.Event{ID: eventID, Topic: "shop/bench", Root: root}
	want := 0
	for i := range subs {
		subs[i].Filter = ""
		if filters > 0 {
			subs[i].Filter = fmt.Sprintf(`ordersOfShop {"minTotal":%d}`, i%filters)
		}
		if filters == 0 || i%filters < most {
			want++
		}
	}
	app, runs := shop.New(), 0.0
	cost, err := spend(planTime, cpuOf, func() error {
		runs++
		read := 0
		pass, err = planEvent(e, fanout.Passing(each(subs, &read), app.Passes(e), new(int)), &read, limits, func() {})
		return err
	})
	if err == nil && pass.targets != want {
		err = fmt.Errorf("%d subscribers are in a batch; the filters of %d let the event pass", pass.targets, want)
	}
	return pass, float64(cost.cpu.Microseconds()) / runs, err
}
