package lambdart

import "time"

const (
	fullCPU = 1769                  // MB of memory that come with one CPU ("Configure Lambda function memory")
	period  = 20 * time.Millisecond // in which a process may not exceed its share; a guess
)

// budget is a process's share of a CPU in each period.
type budget struct {
	part float64
	left time.Duration // negative: the process has to wait
}

// spend adds the time that passed and subtracts what was used. At most one period is
// saved up. It reports whether the process may go on.
func (b *budget) spend(passed, used time.Duration) bool {
	most := time.Duration(b.part * float64(period))
	b.left = min(most, b.left+time.Duration(b.part*float64(passed))-used)
	return b.left >= 0
}

// govern limits a process to the CPU share of its memory, until it exits. Until its
// first event there is no limit: others have measured that a start takes as long with
// 128 MB as with 1,024.
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
