// What docker's own parser makes of Dockerfiles.
//
// Each of them comes on stdin behind its length, four bytes, the most significant first.  For each a
// line of JSON goes to stdout: what was read, or why it was refused.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type answer struct {
	Error        string  `json:"error,omitempty"`
	Line         int     `json:"line,omitempty"`
	Escape       string  `json:"escape,omitempty"`
	Instructions []any   `json:"instructions,omitempty"`
	Arguments    [][]any `json:"arguments,omitempty"`
	Stages       []any   `json:"stages,omitempty"`
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for {
		var size uint32
		if err := binary.Read(in, binary.BigEndian, &size); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(in, text); err != nil {
			panic(err)
		}
		if err := encoder.Encode(read(text)); err != nil {
			panic(err)
		}
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}

// read parses a Dockerfile; a crash of the parser is an answer too.
func read(text []byte) (said answer) {
	defer func() {
		if crash := recover(); crash != nil {
			said = answer{Error: fmt.Sprint("panic: ", crash)}
		}
	}()
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return refused(err)
	}
	stages, arguments, err := instructions.Parse(parsed.AST)
	if err != nil {
		return refused(err)
	}
	if len(stages) == 0 {
		// The builder says this, before it does anything else.
		return answer{Error: "dockerfile contains no stages to build"}
	}
	said.Escape = string(parsed.EscapeToken)
	for _, node := range parsed.AST.Children {
		said.Instructions = append(said.Instructions, written(node))
	}
	for _, each := range arguments {
		said.Arguments = append(said.Arguments, named(each.Args))
	}
	for _, stage := range stages {
		steps := []any{}
		for _, each := range stage.Commands {
			steps = append(steps, step(each))
		}
		base := []any{stage.BaseName, stage.Name, stage.Platform, stage.Location[0].Start.Line}
		said.Stages = append(said.Stages, append(base, steps))
	}
	return said
}

func refused(err error) answer {
	said := answer{Error: err.Error()}
	var located *parser.ErrorLocation
	if errors.As(err, &located) && len(located.Locations) > 0 && len(located.Locations[0]) > 0 {
		said.Line = located.Locations[0][0].Start.Line
	}
	return said
}

// written is an instruction as it stands in the file, before anything is known of its meaning.
func written(node *parser.Node) []any {
	heredocs := []any{}
	for _, each := range node.Heredocs {
		heredocs = append(heredocs, []any{each.Name, each.Expand, each.Chomp, each.Content})
	}
	flags := append([]string{}, node.Flags...)
	return []any{
		strings.ToLower(node.Value), flags, words(node), node.Attributes["json"], node.Original,
		node.StartLine, node.EndLine, heredocs,
	}
}

func words(node *parser.Node) []string {
	found := []string{}
	for each := node.Next; each != nil; each = each.Next {
		if len(each.Children) == 0 {
			found = append(found, each.Value)
			continue
		}
		inner := each.Children[0]
		keyword := strings.ToLower(inner.Value)
		found = append(found, keyword)
		// Of instructions that it does not know, docker keeps nothing but the keyword.
		if _, known := command.Commands[keyword]; known {
			found = append(found, words(inner)...)
		}
	}
	return found
}

func named(arguments []instructions.KeyValuePairOptional) []any {
	found := []any{}
	for _, each := range arguments {
		found = append(found, []any{each.Key, each.Value})
	}
	return found
}

func pairs(found instructions.KeyValuePairs) [][]string {
	all := [][]string{}
	for _, each := range found {
		all = append(all, []string{each.Key, each.Value})
	}
	return all
}

func line(run instructions.ShellDependantCmdLine) []any {
	heredocs := []any{}
	for _, each := range run.Files {
		heredocs = append(heredocs, []any{each.Name, each.Data, each.Chomp})
	}
	return []any{list(run.CmdLine), run.PrependShell, heredocs}
}

func list(words []string) []string {
	return append([]string{}, words...)
}

func sources(from instructions.SourcesAndDest) []any {
	inline := []any{}
	for _, each := range from.SourceContents {
		inline = append(inline, []any{each.Path, each.Data, each.Expand})
	}
	return []any{list(from.SourcePaths), inline, from.DestPath}
}

// step is an instruction of a stage: its keyword, its line, and what it says.
func step(does instructions.Command) []any {
	head := []any{strings.ToLower(does.Name()), does.Location()[0].Start.Line}
	return append(head, said(does)...)
}

func said(does instructions.Command) []any {
	switch c := does.(type) {
	case *instructions.ArgCommand:
		return named(c.Args)
	case *instructions.EnvCommand:
		return []any{pairs(c.Env)}
	case *instructions.LabelCommand:
		return []any{pairs(c.Labels)}
	case *instructions.MaintainerCommand:
		return []any{c.Maintainer}
	case *instructions.RunCommand:
		network, security := instructions.GetNetwork(c), instructions.GetSecurity(c)
		return append(line(c.ShellDependantCmdLine), network, security)
	case *instructions.CmdCommand:
		return line(c.ShellDependantCmdLine)
	case *instructions.EntrypointCommand:
		return line(c.ShellDependantCmdLine)
	case *instructions.ShellCommand:
		return []any{list(c.Shell)}
	case *instructions.AddCommand:
		return append(sources(c.SourcesAndDest),
			c.Chown, c.Chmod, c.Link, list(c.ExcludePatterns), c.KeepGitDir, c.Checksum)
	case *instructions.CopyCommand:
		return append(sources(c.SourcesAndDest),
			c.Chown, c.Chmod, c.Link, list(c.ExcludePatterns), c.From, c.Parents)
	case *instructions.UserCommand:
		return []any{c.User}
	case *instructions.WorkdirCommand:
		return []any{c.Path}
	case *instructions.ExposeCommand:
		return []any{c.Ports}
	case *instructions.VolumeCommand:
		return []any{c.Volumes}
	case *instructions.StopSignalCommand:
		return []any{c.Signal}
	case *instructions.OnbuildCommand:
		return []any{c.Expression}
	case *instructions.HealthCheckCommand:
		h := c.Health
		return []any{list(h.Test), h.Interval, h.Timeout, h.StartPeriod, h.StartInterval, h.Retries}
	}
	panic(fmt.Sprintf("unknown instruction %T", does))
}
