/**
 * A separate process for the tests of src/system, which change a process's user and state. The first
 * argument selects the task; its result is a line of JSON, and the process runs until its standard
 * input ends.
 */
import { spawn } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import * as runtime from "#runtime";
import { surviveFaults } from "../../src/base/survive_faults.ts";
import { openLog } from "../../src/log/log.ts";
import { readSockaddr } from "../../src/os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../../src/os/sockaddr.ts";
import { cInt } from "../../src/os/structures.ts";
import { PR_SET_NO_NEW_PRIVS } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { activatedSockets } from "../../src/system/activation.ts";
import { isDaemonChild, reportReady, spawnDaemon } from "../../src/upgrade/daemon.ts";
import { createPidFile } from "../../src/system/pid_file.ts";
import { ownProgram } from "../../src/upgrade/program.ts";
import { reportStartupResult } from "../../src/upgrade/startup_result.ts";
import { dropPrivileges } from "../../src/system/drop_privileges.ts";

const PR_GET_DUMPABLE = 3;

const libc: Libc = runtime.libc;
const self = [...runtime.self.slice(0, -1), process.argv[1]!];
const isDaemon = isDaemonChild();
const [task, word = ""] = process.argv.slice(2);

switch (task) {
  case "drop":
    dropPrivileges(libc, word === "" ? undefined : JSON.parse(word));
    stay({
      pid: process.pid,
      cwd: process.cwd(),
      umask: process.umask(),
      dumpable: libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
    });
    break;
  // A worker's parent: the flag is set as late as in the master, when all threads exist.
  case "parent":
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // Privileges to drop; only root can have them.
    libc.setgroups(2, new Uint8Array(Uint32Array.of(4, 20).buffer));
    spawn(self[0]!, [...self.slice(1), "drop", word], { stdio: "inherit" });
    break;
  case "activated":
    stay(activated());
    break;
  // A master that passes on two activated sockets, whose numbers a worker needs for other descriptors.
  case "pass-on": {
    const [first, second] = activatedSockets(libc);
    spawn(self[0]!, [...self.slice(1), "sockets"], {
      stdio: ["inherit", "inherit", "inherit", "pipe", "ignore", first!.fd, second!.fd],
    });
    break;
  }
  case "sockets":
    stay({ endpoints: [endpoint(5), endpoint(6)], sockets: socketLinks() });
    break;
  case "log": {
    const log = openLog(JSON.parse(word), { libc, dialect: "stud" });
    log({ level: "warn", event: "warning", message: "a message", facts: { worker: 1 } });
    await log.flush();
    break;
  }
  case "log-flood": {
    const log = openLog(JSON.parse(word), { libc, dialect: "stud" });
    for (let i = 0; i < 3000; i++) {
      log({ level: "info", event: "warning", message: "x".repeat(1000), facts: {} });
    }
    await log.flush();
    console.log("logged");
    process.exit(0);
    break;
  }
  case "program":
    stay(ownProgram(self, process.argv.slice(2)));
    break;
  case "pid-file":
    createPidFile(libc, word, "stud");
    stay({ pid: process.pid });
    break;
  case "faults":
    await meetFaults();
    break;
  case "daemonize":
    await daemonize();
    break;
}

function activated(): unknown {
  try {
    return { sockets: activatedSockets(libc), environment: Object.keys(process.env) };
  } catch (error) {
    return { refused: (error as Error).message };
  }
}

async function daemonize(): Promise<void> {
  if (!isDaemon) {
    const { code, output, problems } = await spawnDaemon(self, process.argv.slice(2));
    for (const line of output) console.log(line);
    for (const line of problems) console.error(line);
    process.exit(code);
  }
  if (word === "fail") {
    reportStartupResult(libc, {
      code: 2,
      output: [],
      problems: ["first problem", "second problem"],
    });
    process.exit(2);
  }
  // The test stops it.
  if (reportReady(libc, "stud")) setInterval(() => {}, 1000);
}

/** Handlers that throw and unhandled rejections, also while a fault is reported. */
async function meetFaults(): Promise<void> {
  const reported: string[] = [];
  surviveFaults((error) => {
    reported.push((error as Error).message);
    throw new Error("a fault of the report's own");
  });
  setTimeout(() => {
    throw new Error("exception");
  });
  void Promise.reject(new Error("rejection"));
  process.on("SIGHUP", () => Promise.reject(new Error("rejection of a signal handler")));
  process.kill(process.pid, "SIGHUP");
  while (reported.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  stay({ reported: reported.toSorted() });
}

function stay(facts: unknown): void {
  console.log(JSON.stringify(facts));
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

function endpoint(fd: number): Endpoint | undefined {
  const address = new Uint8Array(SOCKADDR_SIZE);
  libc.getsockname(fd, address, cInt(address.length));
  return readSockaddr(address);
}

/** By descriptor, beyond the standard streams. */
function socketLinks(): Record<string, string> {
  const links = readdirSync("/proc/self/fd").filter((fd) => Number(fd) > 2).flatMap((fd) => {
    try {
      return [[fd, readlinkSync(`/proc/self/fd/${fd}`)]];
    } catch {
      // The descriptor used to list the directory.
      return [];
    }
  });
  return Object.fromEntries(links.filter(([, link]) => link!.startsWith("socket:")));
}
