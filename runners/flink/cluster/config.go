package cluster

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What a process may take, in MiB. Flink wants each part of a TaskManager's memory
// named where none of its own scripts works it out.
const (
	jobManagerHeap = 256
	jobServerHeap  = 384
	metaspace      = 256
	frameworkHeap  = 128
	offHeap        = 128 // once for Flink, once for Beam's gRPC
	managed        = 128
	overhead       = 192
)

func (c *starting) taskHeap() int { return 384 + 64*c.Slots }
func (c *starting) network() int  { return 64 + 16*c.Slots }

// config is Flink's config.yaml. A job survives five failures within five minutes:
// a training of weeks outlives any number of lost workers, a fault that comes back
// ends its job within a quarter of a minute. Without the start-up time each try that
// finds no TaskManager would be a failure; with it (200 days; it takes 248 at most)
// a try waits five minutes for one.
func (c *starting) config() string {
	tmp := filepath.Join(c.Folder, "tmp")
	address := c.state.REST[:strings.LastIndexByte(c.state.REST, ':')]
	return fmt.Sprintf(`jobmanager.rpc.address: localhost
jobmanager.rpc.port: %d
jobmanager.bind-host: localhost
rest.address: %s
rest.bind-address: localhost
rest.port: %d
web.submit.enable: false
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: %d
taskmanager.cpu.cores: %d
taskmanager.memory.framework.heap.size: %dm
taskmanager.memory.framework.off-heap.size: %[7]dm
taskmanager.memory.task.heap.size: %dm
taskmanager.memory.task.off-heap.size: %[7]dm
taskmanager.memory.network.min: %[9]dm
taskmanager.memory.network.max: %[9]dm
taskmanager.memory.managed.size: %[10]dm
taskmanager.memory.jvm-metaspace.size: %[11]dm
taskmanager.memory.jvm-overhead.min: %[12]dm
taskmanager.memory.jvm-overhead.max: %[12]dm
parallelism.default: 1
io.tmp.dirs: %[13]q
blob.storage.directory: %[13]q
heartbeat.interval: 2000
heartbeat.timeout: 50000
resourcemanager.standalone.start-up-time: 17280000000
restart-strategy.type: failure-rate
restart-strategy.failure-rate.max-failures-per-interval: 5
restart-strategy.failure-rate.failure-rate-interval: 5 min
restart-strategy.failure-rate.delay: 2 s
`, c.ports.rpc, address, portOf(c.state.REST), c.Slots, c.Slots,
		frameworkHeap, offHeap, c.taskHeap(), c.network(), managed, metaspace, overhead, tmp)
}

// logging sends everything to standard output, which is the process's log file.
const logging = `rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %m%n
logger.config.name = org.apache.flink.configuration.GlobalConfiguration
logger.config.level = WARN
`

func (c *starting) conf() string { return filepath.Join(c.Folder, "conf") }

func (c *starting) program() string { return filepath.Join(c.conf(), "program.jar") }

// local is the jar that comes before Beam's, see writeLocal.
func (c *starting) local() string { return filepath.Join(c.conf(), "local.jar") }

// writeConfig writes Flink's configuration and the program that each job ships.
func (c *starting) writeConfig() error {
	for _, folder := range []string{c.conf(), filepath.Join(c.Folder, "tmp")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("flink: %w", err)
		}
	}
	for name, text := range map[string]string{"config.yaml": c.config(), "log4j.properties": logging} {
		if err := os.WriteFile(filepath.Join(c.conf(), name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("flink: %w", err)
		}
	}
	if err := writeLocal(c.local(), c.jars.beam); err != nil {
		return fmt.Errorf("flink: write %s: %w", c.local(), err)
	}
	if err := c.writeProgram(); err != nil {
		return fmt.Errorf("flink: write %s: %w", c.program(), err)
	}
	return nil
}

// writeProgram makes the jar of the Flink program that the job server is. It is empty
// where the cluster has Beam's jars, and carries them, which Flink unpacks, where not.
func (c *starting) writeProgram() error {
	f, err := os.Create(c.program())
	if err != nil {
		return err
	}
	defer f.Close()
	jar := zip.NewWriter(f)
	w, err := jar.Create("META-INF/MANIFEST.MF")
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte("Manifest-Version: 1.0\n")); err != nil {
		return err
	}
	if c.Master != "" {
		files, err := filepath.Glob(filepath.Join(c.jars.beam, "*.jar"))
		if err == nil {
			err = addLibraries(jar, append([]string{c.local()}, files...))
		}
		if err != nil {
			return err
		}
	}
	if err := jar.Close(); err != nil {
		return err
	}
	return f.Close()
}

func addLibraries(jar *zip.Writer, files []string) error {
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		w, err := jar.CreateHeader(&zip.FileHeader{Name: "lib/" + filepath.Base(file), Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// opened are packages of Java that Flink and Beam look into.
var opened = []string{"java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.util", "java.util.concurrent", "java.time"}

// arguments of the Java process of a role.
func (c *starting) arguments(role string) []string {
	args := []string{
		mark(role, c.Folder), "-XX:+UseSerialGC", fmt.Sprintf("-XX:MaxMetaspaceSize=%dm", metaspace),
		"-Djava.io.tmpdir=" + filepath.Join(c.Folder, "tmp"),
		"-Dlog.file=" + c.log(role), // for Flink's web page
		"-Dlog4j.configurationFile=file:" + filepath.ToSlash(filepath.Join(c.conf(), "log4j.properties")),
		"--add-exports=java.base/sun.net.util=ALL-UNNAMED",
	}
	for _, name := range opened {
		args = append(args, "--add-opens=java.base/"+name+"=ALL-UNNAMED")
	}
	path := c.jars.path()
	if c.Master == "" { // else the program brings Beam's
		path = strings.Join([]string{c.local(), path, filepath.Join(c.jars.beam, "*")}, string(os.PathListSeparator))
	}
	switch role {
	case jobManager:
		return append(args, fmt.Sprintf("-Xmx%dm", jobManagerHeap), "-cp", path,
			"org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", "--configDir", c.conf())
	case taskManager:
		return append(args, fmt.Sprintf("-Xmx%dm", frameworkHeap+c.taskHeap()), fmt.Sprintf("-XX:MaxDirectMemorySize=%dm", 2*offHeap+c.network()), "-cp", path,
			"org.apache.flink.runtime.taskexecutor.TaskManagerRunner", "--configDir", c.conf())
	}
	return append(args, fmt.Sprintf("-Xmx%dm", jobServerHeap), "-cp", path,
		"org.apache.flink.client.cli.CliFrontend", "run", "-c", "org.apache.beam.runners.flink.FlinkJobServerDriver", c.program(),
		"--job-host=localhost", fmt.Sprintf("--job-port=%d", c.ports.job), fmt.Sprintf("--artifact-port=%d", c.ports.artifact),
		fmt.Sprintf("--expansion-port=%d", c.ports.expansion), "--artifacts-dir="+filepath.Join(c.Folder, "tmp", "artifacts"))
}
