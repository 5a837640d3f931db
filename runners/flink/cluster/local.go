package cluster

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Beam's servers, those of the job server and those that a TaskManager opens for its
// workers, are told an address and listen on all of the machine's: their class calls
// NettyServerBuilder.forPort(address.getPort()), whatever the options say. The class is
// changed to call forAddress(address), and comes before Beam's on the class path.
const (
	serverClass = "org/apache/beam/sdk/fn/server/ServerFactory$InetSocketAddressServerFactory.class"
	serverJar   = "beam-sdks-java-core-2.70.0.jar" // whose digest jobserver.sha256 holds
	grpc        = "Lorg/apache/beam/vendor/grpc/v1p69p0/io/grpc/"
)

// serverChanges are made in the class, each in a place that must be there once:
// the method's name; its type, for which the generic signature of a private method makes
// room, which only reflection would read; where name and type are joined; and the code,
// where the call of getPort (b6 00a0) gives way to three instructions that do nothing.
var serverChanges = [][2]string{
	{constant("forPort"), constant("forAddress")},
	{
		constant("(Ljava/util/List<" + grpc + "BindableService;>;Ljava/net/InetSocketAddress;)" + grpc + "Server;"),
		constant("(Ljava/net/SocketAddress;)" + grpc + "netty/NettyServerBuilder;"),
	},
	{"\x0c\x00\xa3\x00\xa4", "\x0c\x00\xa3\x00\x9e"},
	{"\x2b\xb6\x00\xa0\xb8\x00\xa6", "\x2b\x00\x00\x00\xb8\x00\xa6"},
}

// constant is a text in a class's table of constants.
func constant(text string) string {
	return "\x01" + string([]byte{byte(len(text) >> 8), byte(len(text))}) + text
}

// writeLocal makes a jar of that class.
func writeLocal(file, beam string) error {
	class, err := readEntry(filepath.Join(beam, serverJar), serverClass)
	if err != nil {
		return err
	}
	for _, c := range serverChanges {
		if n := bytes.Count(class, []byte(c[0])); n != 1 {
			return fmt.Errorf("%s of %s is not the one that is known: %q is there %d times", serverClass, serverJar, c[0], n)
		}
		class = bytes.Replace(class, []byte(c[0]), []byte(c[1]), 1)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	jar := zip.NewWriter(f)
	w, err := jar.Create(serverClass)
	if err != nil {
		return err
	}
	if _, err := w.Write(class); err != nil {
		return err
	}
	if err := jar.Close(); err != nil {
		return err
	}
	return f.Close()
}

// readEntry reads one file of a jar.
func readEntry(jar, name string) ([]byte, error) {
	r, err := zip.OpenReader(jar)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", jar, err)
	}
	defer r.Close()
	f, err := r.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", jar, err)
	}
	defer f.Close()
	return io.ReadAll(f)
}
