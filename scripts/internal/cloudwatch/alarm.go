package cloudwatch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"time"

	"subwire/shared/topology"
)

// extra is how many datapoints CloudWatch looks at beyond those it evaluates, when some are
// missing. "The exact number … depends": in the examples of "Configuring how CloudWatch
// alarms treat missing data" it is two.
const extra = 2

// On reports whether the alarm is on after the minute of at ("Using Amazon CloudWatch
// alarms", "Evaluating an alarm"): whether Bad of the Minutes last datapoints are above
// Above. If there are fewer, missing ones count as good. It fails for an expression that
// it cannot compute.
func (w *Watch) On(a topology.Alarm, at time.Time) (bool, error) {
	looked, bad := 0, 0
	for i := 0; i < a.Minutes+extra && looked < a.Minutes; i++ {
		value, ok, err := w.value(a, at.Add(-time.Duration(i)*time.Minute))
		if err != nil {
			return false, fmt.Errorf("alarm %s: %w", a.Name, err)
		}
		if ok {
			looked++
		}
		if ok && value > a.Above {
			bad++
		}
	}
	return bad >= a.Bad, nil
}

func (w *Watch) value(a topology.Alarm, at time.Time) (value float64, ok bool, err error) {
	if a.Expression == "" {
		value, ok = w.Statistic(Of(a.Of, a.Metric, w.stack), a.Statistic, at)
		return value, ok, nil
	}
	values, ok := map[string]float64{}, false
	for id, m := range a.Metrics() {
		v, is := w.Statistic(Of(a.Of, m, w.stack), a.Statistic, at)
		values[id], ok = v, ok || is
	}
	if !ok {
		return 0, false, nil
	}
	return compute(a.Expression, values)
}

// compute is metric math for one minute ("Using metric math", "Basic arithmetic
// functions"): missing values are 0, and a datapoint that divides by zero is dropped.
func compute(expression string, values map[string]float64) (value float64, ok bool, err error) {
	tree, err := parser.ParseExpr(expression) // the syntax of arithmetic is the same
	if err != nil {
		return 0, false, err
	}
	ok = true
	var eval func(ast.Expr) float64
	eval = func(e ast.Expr) float64 {
		switch e := e.(type) {
		case *ast.ParenExpr:
			return eval(e.X)
		case *ast.BasicLit:
			n, parseErr := strconv.ParseFloat(e.Value, 64)
			if parseErr == nil {
				return n
			}
		case *ast.Ident:
			if v, known := values[e.Name]; known {
				return v
			}
		case *ast.BinaryExpr:
			x, y := eval(e.X), eval(e.Y)
			switch e.Op {
			case token.ADD:
				return x + y
			case token.SUB:
				return x - y
			case token.MUL:
				return x * y
			case token.QUO:
				if ok = ok && y != 0; !ok {
					return 0
				}
				return x / y
			}
		}
		err = fmt.Errorf("cannot compute %q", expression)
		return 0
	}
	value = eval(tree)
	return value, ok && err == nil, err
}
