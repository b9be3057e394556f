package delivery

import (
	"context"

	"subwire/shared/fanout"
)

// DeliverBatch is Deliver for a batch that is decoded.
func (s *Sender) DeliverBatch(ctx context.Context, b fanout.Batch) (Report, error) {
	w := s.open(ctx)
	defer w.close()
	d := s.beginBatch(w, nil, b)
	<-d.done
	return d.report, d.err
}
