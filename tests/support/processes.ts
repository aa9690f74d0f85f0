/** Information about processes from Linux's /proc. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { until } from "./until.ts";

/** The unit of times in /proc (USER_HZ is 100 on all machines that the runtimes support). */
const TICK_MS = 10;
/** As /proc/net/tcp writes the state. */
const TCP_LISTEN = "0A";

/** The child processes. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc").map(Number).filter((each) => each > 0 && parentOf(each) === pid);
}

/** The workers of a stud master, in the order of their slots. */
export function workersOf(master: number): number[] {
  const workers: { slot: number; pid: number }[] = [];
  for (const pid of childrenOf(master)) {
    const words = read(`/proc/${pid}/cmdline`).split("\0");
    const slot = words[words.indexOf("@worker") + 1];
    if (words.includes("@worker") && slot) workers.push({ slot: Number(slot), pid });
  }
  return workers.sort((a, b) => a.slot - b.slot).map((worker) => worker.pid);
}

/** The helper process with that name of a stud master. */
export function helperOf(
  master: number,
  word: "@access-log" | "@admin" | "@ocsp" | "@peers" | "@ticket-store",
): number | undefined {
  return childrenOf(master).find((pid) => read(`/proc/${pid}/cmdline`).split("\0").includes(word));
}

/** False once all threads have ended, even if the exit status has not been collected yet. */
export function isAlive(pid: number): boolean {
  if (/^[^ZX]$/.test(statOf(pid)[0] ?? "Z")) return true;
  // The first thread can end before the others, which then still hold the descriptors.
  return threadCount(pid) > 1;
}

/** Whether a running process is one of stud's workers; guards against a reused pid. */
export function isWorker(pid: number): boolean {
  return isAlive(pid) && read(`/proc/${pid}/cmdline`).split("\0").includes("@worker");
}

/** Sends SIGKILL to a process that may exit on its own at any moment. */
export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Sends SIGSTOP to a process. Fulfilled when all of its threads have stopped, which takes time. */
export async function hold(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await until(() => isStopped(pid), `process ${pid} is stopped`);
}

/** The number of open descriptors of any kind of a process. */
export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** The number of open sockets of a process. */
export function socketCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

/** The inodes of the TCP sockets on which a process listens. Only root may ask about a worker. */
export function listeningSockets(pid: number): string[] {
  const tables = ["tcp", "tcp6"].map((table) => read(`/proc/${pid}/net/${table}`));
  const lines = tables.join("\n").split("\n").map((line) => line.trim().split(/\s+/));
  // The fourth field is the state, the tenth the inode.
  const listening = new Set(lines.filter((of) => of[3] === TCP_LISTEN).map((of) => of[9]));
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
    return inode !== undefined && listening.has(inode) ? [inode] : [];
  }).sort();
}

/** Milliseconds since a process started. */
export function ageOf(pid: number): number {
  const uptime = Number(read("/proc/uptime").split(" ")[0]) * 1000;
  return uptime - Number(statOf(pid)[19]) * TICK_MS;
}

/** Bytes of private memory of a process: no mapped files, no shared pages. */
export function anonymousMemory(pid: number): number {
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1]) * 1024;
}

/**
 * The results of `look` for `/proc/PID/task/TID` of each thread. A runtime's threads come and go:
 * one that ends meanwhile is omitted.
 */
export function ofThreads<T>(pid: number, look: (directory: string) => T): T[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      return [look(`/proc/${pid}/task/${thread}`)];
    } catch (error) {
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code!)) return [];
      throw error;
    }
  });
}

/** Whether all threads of a process are stopped. */
function isStopped(pid: number): boolean {
  const states = ofThreads(pid, (of) => fieldsOf(readFileSync(`${of}/stat`, "utf8"))[0]);
  return states.every((state) => state === "T");
}

/** The processor time of all threads of a process, in milliseconds. */
export function processorTime(pid: number): number {
  const [user, system] = statOf(pid).slice(11, 13).map(Number);
  return (user! + system!) * TICK_MS;
}

/** The effective uid of a process. */
export function userOf(pid: number): number {
  return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]);
}

function threadCount(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0;
  }
}

/** The pid of its parent; 0 once it has exited. */
export function parentOf(pid: number): number {
  return Number(statOf(pid)[1] ?? 0);
}

/** The fields after the program's name, which can contain anything. */
function statOf(pid: number): string[] {
  return fieldsOf(read(`/proc/${pid}/stat`));
}

function fieldsOf(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
