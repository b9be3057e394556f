package cloud

import (
	"fmt"
	"net"
	"net/http"

	"subwire/scripts/internal/console"
)

// startControl serves the control API at Config.Control, unless that is "".
func (c *Cloud) startControl() error {
	if c.cfg.Control == "" {
		return nil
	}
	if host, _, err := net.SplitHostPort(c.cfg.Control); err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("control address %q is not a loopback address with a port", c.cfg.Control)
	}
	l, err := listen(c.cfg.Control)
	if err != nil {
		return err
	}
	c.ControlURL = "http://" + l.Addr().String()
	c.serve(l, c.control())
	return nil
}

// control lets commands see, and tests in other processes break, the running cloud. A PUT is answered 204
// once it is done. No browser page can send one, as that needs the server's permission, nor read an answer:
// a page whose name leads to this machine is refused by that name.
//
//	GET /log                     the latest lines of the functions' logs
//	GET /metrics                 the metrics of the minute that is going on, and the alarms that are on
//	PUT /gateway/down            every socket is cut without a close frame, and handshakes get no answer
//	PUT /gateway/up              clients can connect again
//	PUT /functions/{name}/kill   kills a process of the function, if one runs: a busy one, if there is any
//
// With hosts:
//
//	GET /hosts                   the addresses of those that take sockets
//	PUT /hosts/{address}/kill    kills it; another one is healthy on its address when this is answered
//	PUT /hosts/{address}/drain   replaces it by another, and is answered when it has ended
//	PUT /hosts/{address}/offline takes it from DynamoDB and SQS, but not from its clients
//	PUT /hosts/{address}/online  gives both back
func (c *Cloud) control() http.Handler {
	setDown := func(down bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c.setDown(down)
			w.WriteHeader(http.StatusNoContent)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /log", &c.lines)
	mux.HandleFunc("GET /metrics", c.serveMetrics)
	mux.Handle("PUT /gateway/down", setDown(true))
	mux.Handle("PUT /gateway/up", setDown(false))
	mux.HandleFunc("PUT /functions/{name}/kill", func(w http.ResponseWriter, r *http.Request) {
		f := c.Functions[r.PathValue("name")]
		if f == nil {
			http.NotFound(w, r)
			return
		}
		f.Kill()
		w.WriteHeader(http.StatusNoContent)
	})
	if c.Hosts != nil {
		c.Hosts.control(mux)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !console.Loopback(r.Host) {
			http.Error(w, "unknown host", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
