package topology

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// read reads one setting from its text.
func read[T any](t *testing.T, s SettingOf[T], text string) (value T, err error) {
	t.Helper()
	v, errs := Read([]*Setting{s.Setting}, func(env string) string {
		if env != s.Env {
			t.Errorf("%s was read", env)
		}
		return text
	})
	if len(errs) > 0 {
		err = errs[0]
	}
	return s.In(v), err
}

func TestNamesOfSecretsAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"authorization", "Proxy-Authorization", "password", "passwd", "pwd", "Pass_Phrase", "token", "X-CSRF-Token", "secret",
		"client_secret", "cookie", "apikey", "Api-Key", "x-api-key", "access_key", "credentials", "JWT", "session-id", "bearer"} {
		if _, err := read(t, InitMembers, "client-name, "+name); err == nil || !strings.HasSuffix(err.Error(), `": `+name+" would store a secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]string{
		"": InitMembers.Default, "client-name,client-version": "client-name,client-version",
		"name, Platform ,locale,,device": "name,platform,locale,device"} {
		if got, err := read(t, InitMembers, text); err != nil || strings.Join(got, ",") != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestNamesOfClaims(t *testing.T) {
	t.Parallel()
	many := make([]string, 21)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for text, want := range map[string]string{"": "", " tenant, Role ,tenant,,https://a.example/x ": "tenant,Role,https://a.example/x",
		strings.Join(many[:20], ","): strings.Join(many[:20], ",")} {
		if got, err := read(t, Claims, text); err != nil || strings.Join(got, ",") != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{strings.Join(many, ","), strings.Repeat("x", 65), "a,b\nc"} {
		if got, err := read(t, Claims, text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestWhatIsReadIsTyped(t *testing.T) {
	t.Parallel()
	if got, err := read(t, InitTimeout, "3s"); err != nil || got != 3*time.Second {
		t.Errorf("a time: %v, %v", got, err)
	}
	if got, err := read(t, AllowedOrigins, "https://a.example, https://B.example:443"); err != nil ||
		!slices.Equal(got, []string{"https://a.example", "https://b.example"}) {
		t.Errorf("origins: %v, %v", got, err)
	}
	for _, url := range []string{"", "https://i.example/keys", "http://127.0.0.1:4005/jwks.json"} {
		if got, err := read(t, JWTKeysURL, url); err != nil || got != url {
			t.Errorf("a URL: %q, %v", got, err)
		}
	}
	if got, err := read(t, GraphiQL, "false"); err != nil || got {
		t.Errorf("a boolean: %v, %v", got, err)
	}
	if got, err := read(t, MaxTokens, "many"); err == nil || got != 2000 {
		t.Errorf("a bad value stands for %d, not the default; %v", got, err)
	}
	for _, groups := range []string{"1", "2", "256"} {
		if _, err := read(t, FanoutGroups, groups); err != nil {
			t.Error(err)
		}
	}
}

// A secret that is set instead of its digest must not be logged.
func TestASecretStaysOutOfTheError(t *testing.T) {
	t.Parallel()
	_, err := read(t, EdgeSecret, "hunter2")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), EdgeSecret.Env+": ") {
		t.Errorf("got %v", err)
	}
}

func TestTheTable(t *testing.T) {
	t.Parallel()
	Defaults() // panics for a refused one
	var functions []string
	for _, f := range append(EveryFunction(), Hosts()...) {
		functions = append(functions, f.Name)
	}
	for _, s := range Settings() {
		if s.Meaning == "" || len(s.ReadBy()) == 0 {
			t.Errorf("%s: the row is not whole", s.Env)
		}
		for _, name := range s.ReadBy() {
			if !slices.Contains(functions, name) {
				t.Errorf("%s: there is no function %q", s.Env, name)
			}
		}
		if _, err := s.read(s.Production); err != nil {
			t.Errorf("in production %v", err)
		}
	}
}

// A host posts to its own sockets, and is called by others: it needs only the key.
func TestAHostIsNotToldWhereHostsAre(t *testing.T) {
	t.Parallel()
	if slices.Contains(HostURL.ReadBy(), Host.Name) || !slices.Contains(HostKey.ReadBy(), Host.Name) {
		t.Errorf("the URL is read by %v, the key by %v", HostURL.ReadBy(), HostKey.ReadBy())
	}
}

func TestASettingOfAnotherFunctionIsNotRead(t *testing.T) {
	t.Parallel()
	v, _ := Read(Disconnect.Settings(), func(string) string { return "" })
	defer func() {
		if recover() == nil {
			t.Error("disconnect has the workers of sender")
		}
	}()
	SenderWorkers.In(v)
}
