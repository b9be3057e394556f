package transportws

import "testing"

func TestConnectionErrorReadsWhatIsAppended(t *testing.T) {
	t.Parallel()
	for _, want := range []CloseError{Unauthorized(), SubscriberAlreadyExists("\"\n"), InternalServerError()} {
		if got, ok := ConnectionError(AppendConnectionError(nil, want)); !ok || got != want {
			t.Errorf("%v becomes %v, %t", want, got, ok)
		}
	}
	if got, ok := ConnectionError([]byte(`{"type":"connection_error: 1","payload":{"code":1}}`)); !ok || got != InternalServerError() {
		t.Errorf("a code that may not be sent: %v, %t", got, ok)
	}
	if _, ok := ConnectionError(AppendComplete(nil, "1")); ok {
		t.Error("complete is a connection_error")
	}
}

func FuzzConnectionError(f *testing.F) {
	f.Add(AppendConnectionError(nil, Unauthorized()))
	f.Add([]byte(`{"type":"connection_error`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		c, ok := ConnectionError(frame)
		if ok && (c.Code < 3000 || c.Code > 4999 || len(c.Reason) > maxReasonBytes) {
			t.Errorf("%v", c)
		}
	})
}
