/**
 * Client affinity: a program of classic BPF by which the kernel brings a client to always the same
 * one of the sockets that share an address by SO_REUSEPORT.
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
import { errnoText } from "../os/error_text.ts";

/** By what a client's socket is found. */
export interface AffinityRule {
  /** Odd, of 32 bits, and a secret: who knew it could send all connections to one worker. */
  readonly multiplier: number;
  /** How many sockets share the address. Where there are fewer, the kernel chooses by itself. */
  readonly sockets: number;
}

/** A multiplier by chance. */
export function randomMultiplier(): number {
  return (randomBytes(4).readUInt32LE() | 1) >>> 0;
}

/**
 * Brings clients to the sockets of a group in which `fd` listens. False when the kernel refuses; then
 * `errno()` tells the reason and nothing has changed.
 */
export function attachAffinity(libc: Libc, fd: number, rule: AffinityRule): boolean {
  program = affinityProgram(rule);
  const pointer = sockFprog(program, libc.addressOf(program));
  return libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, pointer, pointer.length) === 0;
}

/** An array of `struct sock_filter` whose result is a client's place in the group, from 0 on. */
export function affinityProgram(rule: AffinityRule): Uint8Array {
  return sockFilters(instructions(rule));
}

/** The kernel balances the group of `fd` by itself again, as it does where nothing was attached. */
export function detachAffinity(libc: Libc, fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, new Uint8Array(4), 4);
}

/** That it was refused, from `errno()`. */
export function affinityRefused(libc: Libc): LogEntry {
  const reason = errnoText(libc.errno());
  const message =
    `--affinity: the kernel takes no program for its listening sockets (${reason}), ` +
    "so that clients come to any worker; --affinity=off does without";
  return { level: "warn", event: "warning", message, facts: {} };
}

/** Held here for as long as the kernel reads it, which no garbage collector can see. */
let program: Uint8Array = new Uint8Array();

/** Codes are a class with a size or an operation, and where the other operand is (linux/bpf_common.h). */
const LOAD = 0x20;
const JUMP = 0x05;
const JUMP_IF_EQUAL = 0x15;
const ADD_X = 0x0c;
const MULTIPLY = 0x24;
const SHIFT_RIGHT = 0x74;
const XOR_X = 0xac;
const COPY_TO_X = 0x07;
const RETURN_A = 0x16;

/** Places that are told from the packet's type, and from its IP header (linux/filter.h). */
const PROTOCOL = 0xffff_f000;
const IP_HEADER = 0xfff0_0000;
const IPV4_SOURCE = IP_HEADER + 12;
const IPV6_SOURCE = IP_HEADER + 8;
const ETH_P_IPV6 = 0x86dd;

/** 2³² by the golden ratio, odd: it spreads neighbours, whatever chance made of the other one. */
const SPREAD = 0x9e37_79b1;

/** A = A ^ A >>> 16: the upper half counts in the lower one, where a product takes it up again. */
const FOLD: readonly Instruction[] = [
  { code: COPY_TO_X },
  { code: SHIFT_RIGHT, k: 16 },
  { code: XOR_X },
];

/**
 * The number of a socket from an IPv4 address, or from the first 64 bits of an IPv6 address, which
 * one network has to itself. IPv4 comes to a dual-stack socket as IPv4. What cannot be read ends the
 * program with 0, which is a socket too.
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
    // Every bit of the address is to count in the upper bits of the last product.
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
