package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// tools are the programs that fetch.
type tools struct{ pip, mvn tool }

// tool is a command line that arguments are added to.
type tool []string

func (t tool) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, t[0], append(t[1:len(t):len(t)], args...)...)
}

// Ways to call a program, in the order in which they are tried, and what to do where
// none works.
var (
	pips      = []tool{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}}
	mvns      = []tool{{"mvn"}}
	pipRemedy = "pip (`apt-get install python3-pip`)"
	mvnRemedy = "mvn (`apt-get install maven`)"
)

// findTools looks for the programs that are needed, and says of all that are missing
// in one message what to do.
func findTools(pip, mvn bool) (t tools, err error) {
	var missing []string
	if pip {
		if t.pip = firstOf(pips); t.pip == nil {
			missing = append(missing, pipRemedy)
		}
	}
	if mvn {
		if t.mvn = firstOf(mvns); t.mvn == nil {
			missing = append(missing, mvnRemedy)
		}
	}
	if len(missing) > 0 {
		return t, errors.New("flink: to fetch Flink and Beam's job server, install " + strings.Join(missing, " and "))
	}
	return t, nil
}

func firstOf(list []tool) tool {
	for _, t := range list {
		if _, err := exec.LookPath(t[0]); err == nil {
			if len(t) == 1 || exec.Command(t[0], append(t[1:len(t):len(t)], "--version")...).Run() == nil {
				return t
			}
		}
	}
	return nil
}

const javaRemedy = "install Java 11, 17 or 21 (`apt-get install openjdk-17-jre-headless`), or set JAVA_HOME"

var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// findJava returns the java of JAVA_HOME, or else of PATH.
func findJava(ctx context.Context) (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	file, err := exec.LookPath(java)
	if err != nil {
		return "", fmt.Errorf("flink: no java: %w; %s", err, javaRemedy)
	}
	out, err := exec.CommandContext(ctx, file, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("flink: %s -version: %w; %s", file, err, javaRemedy)
	}
	if m := javaVersion.FindSubmatch(out); m != nil {
		if major, _ := strconv.Atoi(string(m[1])); major < 11 {
			return "", fmt.Errorf("flink: %s is Java %d; %s", file, major, javaRemedy)
		}
	}
	return file, nil
}
