// Package sim is a discrete-event simulation of Subwire on AWS. It shows what happens
// with more subscribers, chats or reconnections than this machine can hold, and which
// quota is reached first. Time is virtual, and equal seeds give equal runs. It knows
// service times and quotas, and does no I/O.
package sim

import (
	"container/heap"
	"time"
)

// loop runs events in order of time; events of the same time in the order in which
// they were planned.
type loop struct {
	now    time.Duration
	events events
	order  int
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

// at plans do for a time, which must not be in the past.
func (l *loop) at(t time.Duration, do func()) {
	l.order++
	heap.Push(&l.events, event{max(t, l.now), l.order, do})
}

func (l *loop) after(d time.Duration, do func()) { l.at(l.now+d, do) }

// run runs until nothing is planned.
func (l *loop) run() {
	for len(l.events) > 0 {
		e := heap.Pop(&l.events).(event)
		l.now = e.at
		e.do()
	}
}
