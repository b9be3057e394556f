package lambdart

import "time"

const (
	fullCPU = 1769                  // MB of memory that have one CPU ("Configure Lambda function memory")
	period  = 20 * time.Millisecond // in which a process may not use more than its part; a guess
)

// budget is what a process may use of a CPU: its part of each period.
type budget struct {
	part float64
	left time.Duration // below 0: it has to wait
}

// spend adds what passed of time and takes what was used. Nothing is saved up
// beyond one period. It reports whether the process may run on.
func (b *budget) spend(passed, used time.Duration) bool {
	most := time.Duration(b.part * float64(period))
	b.left = min(most, b.left+time.Duration(b.part*float64(passed))-used)
	return b.left >= 0
}

// govern holds a process to the CPU that its memory gives it, until it exits.
// Until its first event it has all that there is: a start takes as long with
// 128 MB as with 1,024 by what others have measured.
func (f *Function) govern(p *process) {
	b := budget{part: float64(f.cfg.MemoryMB) / fullCPU}
	tick := time.NewTicker(period)
	defer tick.Stop()
	select {
	case <-p.begun:
	case <-p.exited:
		return
	}
	at, used := time.Now(), cpuTime(p.cmd.Process.Pid)
	for {
		select {
		case <-tick.C:
		case <-p.exited:
			return
		}
		now, total := time.Now(), cpuTime(p.cmd.Process.Pid)
		if b.spend(now.Sub(at), total-used) {
			p.letGo(overdrawn)
		} else {
			p.hold(overdrawn)
		}
		at, used = now, total
	}
}
