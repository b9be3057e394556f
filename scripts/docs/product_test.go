package docs

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/gql"
	"subwire/shared/products/sample"
	"subwire/shared/pubsub"
	"subwire/shared/shop"
	"subwire/shared/subwire"
)

const (
	root = "../.."
	list = "shared/products/list.go"
)

// All that a new product takes is its folder and its place in the list. Its test and
// the rules of the repository hold without another change.
func TestANewProductIsAFolderAndALine(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the new product")
	}
	folder := copyOfTheRepository(t)
	before := files(t, folder)
	must(t, folder, "make", "new", "NAME=games")
	after := files(t, folder)

	var changed []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, there := before[name]; !there || was != after[name] {
			changed = append(changed, name)
		}
	}
	if diff := cmp.Diff([]string{"shared/games/games.go", "shared/games/games_test.go", list}, changed); diff != "" {
		t.Errorf("changed files (-want +got):\n%s", diff)
	}
	for name := range before {
		if _, kept := after[name]; !kept {
			t.Errorf("%s is gone", name)
		}
	}
	want := []string{"\t\"subwire/shared/games\"\n", "\tfunc() *subwire.App { return games.New().App },\n"}
	if diff := cmp.Diff(want, added(t, before[list], after[list])); diff != "" {
		t.Errorf("lines added to the list (-want +got):\n%s", diff)
	}

	must(t, filepath.Join(folder, "shared"), "go", "test", "./games", "./products")
	must(t, folder, "scripts/imports.sh")
	if out := must(t, folder, "gofmt", "-l", "shared/games", list); out != "" {
		t.Errorf("not formatted: %s", out)
	}
}

func TestANameThatIsNoProductsChangesNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds products")
	}
	folder := copyOfTheRepository(t)
	before := files(t, folder)
	for name, want := range map[string]string{
		"":                         "lower case letters and digits",
		"Games":                    "lower case letters and digits",
		"2048":                     "lower case letters and digits",
		"my-game":                  "lower case letters and digits",
		"../game":                  "lower case letters and digits",
		"chat":                     "shared/chat exists",
		"pubsub":                   "shared/pubsub exists",
		"func":                     "no product can be called func",     // a word of Go
		strings.Repeat("long", 11): "no product can be called longlong", // a function of it has too long a name
	} {
		out, err := command(t, folder, "scripts/new.sh", name).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, %s", name, err, out)
		}
		if diff := cmp.Diff(before, files(t, folder)); diff != "" {
			t.Fatalf("%q changed something:\n%s", name, diff)
		}
	}
}

// copyOfTheRepository has the files of the checkout that are or could be committed.
func copyOfTheRepository(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	names := must(t, root, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		from, to := filepath.Join(root, name), filepath.Join(folder, name)
		content, err := os.ReadFile(from)
		if os.IsNotExist(err) { // deleted, and not committed yet
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, content, 0o755) // some are scripts
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// files are the contents of all files below the folder.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(folder, name))
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// added are the lines of now that before lacks. The others must be before's.
func added(t *testing.T, before, now string) (lines []string) {
	t.Helper()
	was := slices.Collect(strings.Lines(before))
	for line := range strings.Lines(now) {
		if len(was) > 0 && line == was[0] {
			was = was[1:]
			continue
		}
		lines = append(lines, line)
	}
	if len(was) > 0 {
		t.Errorf("changed or gone: %s", was[0])
	}
	return lines
}

// command runs in the workspace of the folder, whatever the test runs in.
func command(t *testing.T, folder, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOWORK=")
	return cmd
}

// must returns what the command prints.
func must(t *testing.T, folder, name string, args ...string) string {
	t.Helper()
	cmd := command(t, folder, name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &errs)
	}
	return string(out)
}

// All code of docs/your-own-product.md is that of products, and what it lets the reader
// send is valid.
func TestTheCodeOfYourOwnProduct(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/your-own-product.md")
	code := ""
	for _, name := range []string{"shop/shop.go", "shop/shop_test.go", "chat/chat.go"} {
		code += read(t, "shared/"+name)
	}
	targets := read(t, "Makefile")
	fresh, sold := executor(t, sample.New().App), executor(t, shop.New().App)
	blocks := map[string]int{}
	for _, m := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		language, block := m[1], m[2]
		blocks[language]++
		switch language {
		case "go":
			if !strings.Contains(code, "\n"+block) {
				t.Errorf("no product has this code:\n%s", block)
			}
		case "graphql":
			_, err := fresh.Prepare(pubsub.Operation{Document: block})
			if err != nil && !strings.Contains(sold.SDL(), block) {
				t.Errorf("neither an operation (%v) nor of the shop's schema:\n%s", err, block)
			}
		case "sh":
			for _, m := range regexp.MustCompile(`(?m)^make ([a-z-]+)`).FindAllStringSubmatch(block, -1) {
				if !strings.Contains(targets, "\n"+m[1]+":") {
					t.Errorf("the Makefile has no target %s", m[1])
				}
			}
		default:
			t.Errorf("a block of %s is not checked", language)
		}
	}
	if blocks["go"] < 10 || blocks["graphql"] < 3 || blocks["sh"] < 2 {
		t.Errorf("only %v blocks found", blocks)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func executor(t *testing.T, app *subwire.App) *gql.Executor {
	t.Helper()
	return gql.MustNew(app.MustOpen(subwire.Env{}))
}

// What docs/authentication.md shows is part of the file that it names.
func TestTheCodeOfAuthentication(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```(?:go|js) (\\S+)\n(.*?)```").FindAllStringSubmatch(read(t, "docs/authentication.md"), -1)
	for _, m := range blocks {
		if !strings.Contains(read(t, m[1]), m[2]) {
			t.Errorf("%s has no\n%s", m[1], m[2])
		}
	}
	if len(blocks) < 3 {
		t.Errorf("only %d blocks found", len(blocks))
	}
}
