/**
 * Client affinity: a classic BPF program with which the kernel always routes a client to the same one
 * of the sockets that share an address through SO_REUSEPORT.
 */
import { randomBytes } from "node:crypto";
import { sockFprog } from "../os/bpf.ts";
import { sockFilters } from "../os/bpf.ts";
import type { Instruction } from "../os/bpf.ts";
import { SO_DETACH_REUSEPORT_BPF } from "../os/constants.ts";
import { SO_ATTACH_REUSEPORT_CBPF } from "../os/constants.ts";
import { SOL_SOCKET } from "../os/constants.ts";
import type { LogEntry } from "../base/log_entry.ts";
import type { Libc } from "../os/libc.ts";
import { errnoText } from "../base/error_text.ts";

/** The parameters that determine a client's socket. */
export interface AffinityRule {
  /** Odd, 32 bits, and secret: with it an attacker could send all connections to one worker. */
  readonly multiplier: number;
  /** Number of sockets that share the address. If there are fewer, the kernel chooses one. */
  readonly sockets: number;
}

/** Returns a random multiplier. */
export function randomMultiplier(): number {
  return (randomBytes(4).readUInt32LE() | 1) >>> 0;
}

/**
 * Routes clients to the sockets of the group in which `fd` listens. Returns false if the kernel
 * refuses; then `errno()` returns the reason and nothing has changed.
 */
export function attachAffinity(libc: Libc, fd: number, rule: AffinityRule): boolean {
  program = affinityProgram(rule);
  const pointer = sockFprog(program, libc.addressOf(program));
  return libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, pointer, pointer.length) === 0;
}

/** Returns an array of `struct sock_filter` whose result is a client's index in the group. */
export function affinityProgram(rule: AffinityRule): Uint8Array {
  return sockFilters(instructions(rule));
}

/** Detaches the program from the group of `fd`, which the kernel then balances itself. */
export function detachAffinity(libc: Libc, fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, new Uint8Array(4), 4);
}

/** Returns the log entry for a refused program, with the reason from `errno()`. */
export function affinityRefused(libc: Libc): LogEntry {
  const reason = errnoText(libc.errno());
  const message =
    `--affinity: the kernel refuses a BPF program for the listening sockets (${reason}), ` +
    "so clients reach any worker; disable it with --affinity=off";
  return { level: "warn", event: "warning", message, facts: {} };
}

/** Referenced here while the kernel reads it, which the garbage collector does not see. */
let program: Uint8Array = new Uint8Array();

/** Codes combine class, size or operation, and source of the operand (linux/bpf_common.h). */
const LOAD = 0x20;
const JUMP = 0x05;
const JUMP_IF_EQUAL = 0x15;
const ADD_X = 0x0c;
const MULTIPLY = 0x24;
const SHIFT_RIGHT = 0x74;
const XOR_X = 0xac;
const COPY_TO_X = 0x07;
const RETURN_A = 0x16;

/** Offsets for the packet's protocol, and relative to its IP header (linux/filter.h). */
const PROTOCOL = 0xffff_f000;
const IP_HEADER = 0xfff0_0000;
const IPV4_SOURCE = IP_HEADER + 12;
const IPV6_SOURCE = IP_HEADER + 8;
const ETH_P_IPV6 = 0x86dd;

/** 2³² divided by the golden ratio, odd: spreads neighbours, whatever the random multiplier is. */
const SPREAD = 0x9e37_79b1;

/** A = A ^ A >>> 16: folds the upper half into the lower one, which the next product spreads. */
const FOLD: readonly Instruction[] = [
  { code: COPY_TO_X },
  { code: SHIFT_RIGHT, k: 16 },
  { code: XOR_X },
];

/**
 * Computes the index of a socket from an IPv4 address, or from the first 64 bits of an IPv6 address,
 * which belong to one network. A dual-stack socket receives IPv4 packets as IPv4. If a load fails,
 * the program returns 0, which is also a valid index.
 */
function instructions({ multiplier, sockets }: AffinityRule): Instruction[] {
  return [
    { code: LOAD, k: PROTOCOL },
    { code: JUMP_IF_EQUAL, k: ETH_P_IPV6, ifTrue: 2 },
    { code: LOAD, k: IPV4_SOURCE },
    { code: JUMP, k: 5 },
    { code: LOAD, k: IPV6_SOURCE },
    { code: MULTIPLY, k: multiplier },
    { code: COPY_TO_X },
    { code: LOAD, k: IPV6_SOURCE + 4 },
    { code: ADD_X },
    // Every bit of the address must affect the upper bits of the last product.
    ...FOLD,
    { code: MULTIPLY, k: multiplier },
    ...FOLD,
    { code: MULTIPLY, k: SPREAD },
    { code: SHIFT_RIGHT, k: 16 },
    { code: MULTIPLY, k: sockets },
    { code: SHIFT_RIGHT, k: 16 },
    { code: RETURN_A },
  ];
}
