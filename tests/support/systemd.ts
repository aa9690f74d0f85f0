/** A real systemd in namespaces of its own, which runs contrib/stud.service. Only for root. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Finished, run } from "./commands.ts";
import type { Context } from "./context.ts";
import type { Endpoint } from "./endpoints.ts";
import { childrenOf } from "./processes.ts";
import { root } from "./target.ts";
import { until, within } from "./until.ts";

/** Where the repository and the configuration are in systemd's root. */
const REPOSITORY = "/srv/stud";
const CONFIGURATION = "/etc/stud";

/**
 * Runs the rest of the arguments in a control group of its own, which it removes afterwards. The group
 * is that of no other process, so that systemd can move what it finds in it.
 */
const OUTER = `set -e
mount -t tmpfs none "$0"
mkdir "$0/cgroup" "$0/upper" "$0/work" "$0/root"
mount -t cgroup2 none "$0/cgroup"
group=$0/cgroup/stud-test-$$
mkdir "$group"
sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@" || true
find "$group" -depth -type d -exec rmdir {} +`;

/**
 * Starts systemd as process 1 on a copy of this system's files, with few devices. What it would change
 * in the kernel is read-only.
 */
const INNER = `set -e
new=$0/root
mount -t overlay none -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$new"
mount -t proc proc "$new/proc"
mount --bind "$new/proc/sys" "$new/proc/sys"
mount -o remount,bind,ro "$new/proc/sys"
mount -t tmpfs none "$new/dev"
for device in null zero full random urandom tty; do
  : >"$new/dev/$device"
  mount --bind "/dev/$device" "$new/dev/$device"
done
mkdir "$new/dev/pts" "$new/dev/shm" "$new/dev/mqueue" "$new/dev/hugepages"
mount -t devpts none "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
mount -t tmpfs none "$new/run"
mount -t tmpfs none "$new/sys"
mkdir -p "$new/sys/fs/cgroup" "$new/run/systemd/system" "$new${REPOSITORY}" "$new${CONFIGURATION}"
mount -t cgroup2 none "$new/sys/fs/cgroup"
mount --rbind "$1" "$new${REPOSITORY}"
mount --bind "$2" "$new${CONFIGURATION}"
cp "$2/stud.service" "$new/run/systemd/system"
printf '[Unit]\\nDescription=nothing\\n' >"$new/run/systemd/system/nothing.target"
cd "$new"
pivot_root . mnt
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c \\
  'umount -l /mnt && exec /usr/lib/systemd/systemd --unit=nothing.target --log-target=null'`;

/** A running systemd. */
export interface Systemd {
  /** Runs `systemctl`. */
  systemctl(...words: string[]): Promise<Finished>;
  /** Returns a property of the service. */
  property(name: string): Promise<string>;
  /** Writes its configuration file with more settings. */
  configure(more: string): void;
  /** What the service has written to standard error. */
  log(): string;
}

/** Starts systemd with the unit, and a configuration of one worker. */
export async function startSystemd(
  context: Context,
  { frontend, backend, more = "" }: {
    readonly frontend: Endpoint;
    readonly backend: number;
    readonly more?: string;
  },
): Promise<Systemd> {
  const directory = mkdtempSync(join(context.certificates.directory, "systemd-"));
  const [base, configuration] = [join(directory, "base"), join(directory, "etc")];
  for (const each of [base, configuration]) mkdirSync(each);
  // A link to the runtime may be absolute, and its target may be where the unit sees nothing.
  const command = context.target.command.map((word) =>
    (word.includes("/") ? realpathSync(word) : word).replace(root, REPOSITORY)
  );
  const unit = readFileSync(join(root, "contrib", "stud.service"), "utf8")
    .replaceAll("/usr/local/bin/stud", command.join(" "))
    .replace("[Service]", `[Service]\nStandardError=append:${CONFIGURATION}/log`);
  writeFileSync(join(configuration, "stud.service"), unit);
  const pem = readFileSync(context.certificates.localhost);
  writeFileSync(join(configuration, "site.pem"), pem, { mode: 0o600 });
  const configure = (more: string) =>
    writeFileSync(
      join(configuration, "stud.conf"),
      `frontend = "[${frontend.host}]:${frontend.port}"\nbackend = "[127.0.0.1]:${backend}"\n` +
        `pem-file = "${CONFIGURATION}/site.pem"\nuser = "nobody"\n${more}`,
    );
  configure(`workers = 1\n${more}`);
  const namespaces = ["-m", "-p", "-i", "-u", "-C", "--fork", "--kill-child"];
  const inner = ["unshare", ...namespaces, "sh", "-c", INNER, base, root, configuration];
  const child = spawn("unshare", ["-m", "sh", "-c", OUTER, base, ...inner], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => stderr += text);
  const exited = once(child, "exit");
  context.after(() => end(child, exited));
  const pid = await until(() => {
    if (child.exitCode !== null) throw new Error(`systemd did not start: ${stderr}`);
    const found = grandchildOf(child.pid!);
    return found && existsSync(`/proc/${found}/root/run/systemd/private`) && found;
  }, "systemd") as number;
  const within = ["-t", String(pid), "-m", "-p", "-r", "-w", "--"];
  const systemctl = (...words: string[]) => run("nsenter", [...within, "systemctl", ...words]);
  const log = join(configuration, "log");
  return {
    systemctl,
    configure,
    async property(name) {
      return (await systemctl("show", "stud", "--value", `--property=${name}`)).stdout.trim();
    },
    log: () => existsSync(log) ? readFileSync(log, "utf8") : "",
  };
}

/** Kills systemd, and with it all processes of its namespace. */
async function end(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  const pid = grandchildOf(child.pid!);
  if (pid !== undefined) process.kill(pid, "SIGKILL");
  await within(exited, "the exit of systemd");
}

/** The process that a child of this one has started. */
function grandchildOf(pid: number): number | undefined {
  return childrenOf(pid).flatMap(childrenOf)[0];
}
