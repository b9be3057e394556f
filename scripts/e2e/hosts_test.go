package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/shared/chat"
	"subwire/shared/node"
	"subwire/shared/topology"
)

// onHost says that clients' sockets are held by two processes of the other host, behind a
// load balancer, instead of API Gateway: SUBWIRE_HOST=1 go test ./e2e.
var onHost = os.Getenv("SUBWIRE_HOST") != ""

// startCloud starts a cloud whose sockets are where this run wants them.
func startCloud(ctx context.Context, cfg cloud.Config) (*cloud.Cloud, error) {
	if !onHost {
		return cloud.Start(ctx, cfg)
	}
	cfg.Hosts, cfg.Settings = 2, maps.Clone(cfg.Settings)
	if cfg.Settings == nil {
		cfg.Settings = map[string]string{}
	}
	// The name of a connection is stored, as nobody reads what clients say to a host.
	names := cfg.Settings[topology.InitMembers.Env]
	cfg.Settings[topology.InitMembers.Env] = strings.TrimPrefix(names+",name", ",")
	return cloud.Start(ctx, cfg)
}

// Why a test is not repeated on the host.
const (
	overHTTP   = "it speaks HTTP only, which is the same API with every host"
	ofGateway  = "it breaks or times API Gateway's own sockets and posts"
	ofFigures  = "it compares figures of API Gateway and Lambda"
	before     = "what it shows happens before an event leaves stream"
	ofConsole  = "it is about the console, which shows API Gateway's sockets"
	ofRows     = "it reads rows of subscriptions, which a host has in memory"
	ofCore     = "what it shows is the core's, the same with every host, and it takes long"
	inOneOrder = "it is about messages of one socket in any order, and a host handles them in theirs"
)

// notOnHost are the tests that concern API Gateway alone, or nothing that a host does. All
// others run on both. The list also keeps the second run short.
var notOnHost = map[string]string{
	"TestAllAuditsOfGraphQLOverHTTPPass":                 overHTTP,
	"TestPagesOfAnAllowedOriginMaySendTheirHeaders":      overHTTP,
	"TestRequestsAtTheEdgesOfHTTP":                       overHTTP,
	"TestTheSchemaIsThatOfTheServer":                     overHTTP,
	"TestRoverReadsTheSchema":                            overHTTP,
	"TestMessagesAfterAnID":                              overHTTP,
	"TestTheClientPackage":                               overHTTP,
	"TestTheRecipesInTheDocsAreTheProgramsThatRun":       overHTTP,
	"TestTheExamplesPublish":                             before,
	"TestEventsByHTTP":                                   before,
	"TestEventsByTheQueue":                               before,
	"TestARefusedMessageIsParkedAtOnce":                  before,
	"TestAThrottledTableLosesNoEvent":                    before,
	"TestAPoisonRecordIsIsolated":                        before,
	"TestADeadLetterIsTraced":                            before,
	"TestEachFaultHasItsAlarm":                           ofFigures,
	"TestTheMetricsAreWhatOthersCounted":                 ofFigures,
	"TestTheConsoleCountsWhatClientsGot":                 ofConsole,
	"TestTheConsolesActions":                             ofConsole,
	"TestTheConsoleKnowsWhatIsLost":                      ofConsole,
	"TestTheLogIsForThisMachine":                         ofConsole,
	"TestRefusedPostsEndNobody":                          ofGateway,
	"TestALiveClientThatIsCalledGoneGetsWhatFollows":     ofGateway,
	"TestTheGatewayAnswersPings":                         ofGateway,
	"TestASocketIsLeftBeforeItIsCut":                     ofGateway,
	"TestTheRowsOfAKilledClientAreGoneAfterTheNextEvent": ofGateway + "; on the host: TestTheRowsOfAKilledNodeAreGoneAfterTheNextEvent",
	"TestAClientResumesAfterTheGatewayClosedItsSocket":   ofGateway + "; on the host: TestFollowersMissNothingWhenNodesAreReplaced",
	"TestAnEventIsTraced":                                ofGateway + "; on the host: TestAnEventIsTracedThroughAHost",
	"TestAMutationThatIsSentAgainIsAppliedOnce":          ofCore,
	"TestAResumeThatIsRefused":                           ofCore,
	"TestAReplayIsBoundedAlsoAfterAMessageThatExists":    ofCore,
	"TestKeysRotateWhileTheCloudRuns":                    ofCore,
	"TestResumedClientsShareAnOperation":                 ofRows,
	"TestACompleteRightBehindItsSubscribeLeavesNothing":  inOneOrder,
}

// skipOnHost leaves these tests out of a run on the host.
func skipOnHost() error {
	if !onHost {
		return nil
	}
	names := slices.Sorted(maps.Keys(notOnHost))
	for i, name := range names {
		names[i] = regexp.QuoteMeta(name)
	}
	return flag.Set("test.skip", "^("+strings.Join(names, "|")+")$")
}

// needHosts skips a test in a run without hosts, and says why it needs them.
func needHosts(t *testing.T, why string) {
	t.Helper()
	if !onHost {
		t.Skipf("%s; SUBWIRE_HOST is not set", why)
	}
}

func TestWhatIsNotRepeatedOnTheHostIsThere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	for name := range notOnHost {
		if !tests[name] {
			t.Errorf("there is no test %s", name)
		}
	}
}

// storedNames are the ids of the connections in the store that have a name. Many tests look
// at once, so all share one scan, which is as old as scanAgain at most.
type storedNames struct {
	mu  sync.Mutex // guards what follows
	ids map[string]string
	at  time.Time // when they were read
}

const scanAgain = 100 * time.Millisecond

var stored storedNames

// find finds the connection with that name.
func (s *storedNames) find(t *testing.T, name string) (id string, ok bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) > scanAgain {
		s.ids = scanNames(t)
		s.at = time.Now()
	}
	id, ok = s.ids[name]
	return id, ok
}

func scanNames(t *testing.T) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for c, err := range store.Connections(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		var said struct{ Name string }
		if json.Unmarshal(c.Init, &said) == nil && said.Name != "" { // not all have said something
			ids[said.Name] = c.ID
		}
	}
	return ids
}

// killHolder kills the process that holds the socket with that id, and returns when another
// one is on its address.
func killHolder(t *testing.T, c *cloud.Cloud, id string) {
	t.Helper()
	at, ok := node.Parse(id)
	holder, runs := c.Hosts.At(at.HostPort)
	if !ok || !runs {
		t.Fatalf("no host holds connection %s", id)
	}
	if err := c.Hosts.Kill(within(t), holder); err != nil {
		t.Fatal(err)
	}
}

// cut breaks the socket of the connection with that name, without a word.
func cut(t *testing.T, name string) {
	t.Helper()
	if onHost {
		if !local.Hosts.Balancer.CutNamed(name) {
			t.Fatalf("connection %s is not there", name)
		}
		return
	}
	if !local.Gateway.Cut(connectionID(t, name)) {
		t.Fatalf("connection %s is not there", name)
	}
}

// setDown takes down the network between clients and the server, or brings it back.
func setDown(down bool) {
	if onHost {
		local.Hosts.Balancer.SetDown(down)
		return
	}
	local.Gateway.SetDown(down)
}

// listening counts what is subscribed to the topic: the rows of the store and, for the row
// of a node, its sockets' subscriptions.
func listening(t *testing.T, c *cloud.Cloud, topic string) int {
	t.Helper()
	n, err := c.Subscribers(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A host says why it closes with the close itself, so a client needs no connection_error.
// It has no such message at all.
func TestRealCloseCodes(t *testing.T) {
	t.Parallel()
	needHosts(t, "API Gateway closes with 1000 or 1001 only")
	for name, steps := range map[string][]string{
		"4400": {"> {}", "cut 4400"},
		"4401": {"> " + operation("1", "{ __typename }"), "cut 4401"},
		"4409": {"init", "listen 1", "> " + operation("1", "{ __typename }"), "cut 4409"},
		"4429": {"init", `> {"type":"connection_init"}`, "cut 4429"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			converse(t, local.WSURL, steps...)
		})
	}
}

// A node that is killed takes its sockets with it, and one that drains sends them away.
// Clients come back to another one, resume, and miss nothing. The test runs alone, as
// everybody's sockets are lost.
func TestFollowersMissNothingWhenNodesAreReplaced(t *testing.T) {
	needHosts(t, "it is about hosts")
	for name, replace := range map[string]func(ctx context.Context, h *cloud.Host) error{
		"killed": local.Hosts.Kill, "drained": local.Hosts.Drain,
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, local, fresh("e2e-"+name))
			f.connect(name+"-0", 0)
			f.expect(write(t, local, f.chatID, 1, 3)...)
			for range 2 { // the first of those that are left: a new one comes last
				h, err := local.Hosts.Node(0)
				if err != nil {
					t.Fatal(err)
				}
				if err := replace(within(t), h); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-f.client.Done():
			case <-within(t).Done():
				t.Fatal("the socket stays open")
			}
			missed := write(t, local, f.chatID, 4, 40)
			f.connect(name+"-1", 0)
			f.expect(missed...)
			f.expect(write(t, local, f.chatID, 41, 43)...)
		})
	}
}

// The next event finds that the node has gone: its row of the topic is deleted. The test
// runs alone, as others lose sockets.
func TestTheRowsOfAKilledNodeAreGoneAfterTheNextEvent(t *testing.T) {
	needHosts(t, "it is about hosts")
	chatID := fresh("e2e-dead-node")
	f := follow(t, local, chatID)
	f.connect("dead-node-0", 0)
	awaitSubscribers(t, chatID, 1)
	holder := connectionID(t, "dead-node-0")
	killHolder(t, local, holder)
	rowsOf := func(dead bool) (n int) {
		at, _ := node.Parse(holder)
		for s, err := range store.Subscriptions(within(t), chat.Topic(chatID), time.Now()) {
			if err != nil {
				t.Fatal(err)
			}
			if (s.ConnectionID == at.Node()) == dead {
				n++
			}
		}
		return n
	}
	if n := rowsOf(true); n != 1 {
		t.Fatalf("%d rows of the dead node before the event", n)
	}
	f.connect("dead-node-1", 0)
	awaitSubscribers(t, chatID, 1)
	f.expect(write(t, local, chatID, 1, 1)...)
	await(t, "end of the dead node's row", func() bool { return rowsOf(true) == 0 })
	if n := rowsOf(false); n != 1 {
		t.Errorf("%d rows of the other node", n)
	}
}

// An event is followed to the node, and from there to the sockets.
func TestAnEventIsTracedThroughAHost(t *testing.T) {
	t.Parallel()
	needHosts(t, "it is about hosts")
	run := tracer(t)
	chatID := fresh("e2e-trace-host")
	f := follow(t, local, chatID)
	f.connect("trace-host", 0)
	awaitSubscribers(t, chatID, 1)
	f.expect(write(t, local, chatID, 1, 1)...)
	steps := []*regexp.Regexp{
		regexp.MustCompile(`stream +event (sent|delivered) +event ` + f.newest + `, .*1 targets`),
		regexp.MustCompile(`(stream +event|sender +batch) delivered .*, 1 delivered`),
		regexp.MustCompile(`host +batch delivered .*, 1 delivered`),
	}
	out := ""
	await(t, "all steps", func() bool {
		out, _ = run(f.newest)
		return !slices.ContainsFunc(steps, func(s *regexp.Regexp) bool { return !s.MatchString(out) })
	})
	if strings.Contains(out, chatID) {
		t.Errorf("the chat is named:\n%s", out)
	}
}
