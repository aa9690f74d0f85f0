/** Options for session resumption: tickets, and the session cache. */
import type { Option } from "../option.ts";
import { parseUdp, parseUdpPeer } from "../address.ts";
import { anyText, integer, multicast, oneOf, onOff, seconds, storeUrl } from "../values.ts";

export const sessionOptions = {
  "tickets": {
    config: { key: "sessions.tickets", readers: ["master", "worker"] },
    group: "Session resumption",
    form: "flag",
    default: "on",
    help: "Issue session tickets, with which clients resume without a full handshake.",
    parse: onOff,
  },
  "session-timeout": {
    config: { key: "sessions.timeout", readers: ["master", "worker"] },
    group: "Session resumption",
    form: "number",
    argument: "SECONDS",
    default: "7200",
    help:
      "How long a session can be resumed after it was made; in TLS 1.3 each visit makes a new " +
      "one.",
    parse: seconds,
    needs: { need: "sessionTimeout", unless: "7200" },
  },
  "affinity": {
    config: { key: "sessions.affinity", readers: ["master"] },
    group: "Session resumption",
    form: "text",
    argument: "auto|on|off",
    default: "auto",
    help: "Let the kernel route each client address to the same worker, which has its " +
      "sessions; auto does so if workers share no ticket keys, unless it overloads one of " +
      "them.",
    parse: oneOf("auto", "on", "off"),
  },
  "ticket-rotation": {
    config: { key: "sessions.ticketRotation", readers: ["master"] },
    group: "Session resumption",
    form: "number",
    argument: "SECONDS",
    default: "43200",
    help: "How often the key for new tickets changes; tickets older than two such intervals " +
      "are not accepted.",
    parse: seconds,
    needs: { need: "ticketKeys", unless: "43200" },
  },
  "ticket-secret-file": {
    config: { key: "sessions.ticketSecretFile", readers: ["master"] },
    group: "Session resumption",
    form: "text",
    argument: "FILE",
    path: true,
    default: "",
    help: "Derive ticket keys from the secret in this file, so that clients can resume on " +
      "every machine with the same secret, and after a restart. Create one with " +
      "--new-ticket-secret.",
    parse: anyText,
    needs: { need: "ticketKeys", unless: "" },
  },
  "ticket-store": {
    config: { key: "sessions.ticketStore", readers: ["master"] },
    group: "Session resumption",
    form: "text",
    argument: "URL",
    isSecret: true,
    default: "",
    help: "Share random ticket keys through Redis or Valkey, as in redis://127.0.0.1:6379 or " +
      "rediss://user:password@host; they are encrypted with the secret of " +
      "--ticket-secret-file.",
    parse: storeUrl,
    needs: { need: "ticketKeys", unless: "" },
  },
  "ticket-store-ca": {
    config: { key: "sessions.ticketStoreCa", readers: ["master"] },
    group: "Session resumption",
    form: "text",
    argument: "FILE",
    path: true,
    default: "",
    help: "PEM file with the CAs of a rediss:// store; empty means the public CAs.",
    parse: anyText,
    needs: { need: "ticketKeys", unless: "" },
  },
  "shared-cache": {
    config: { key: "sessions.cache", readers: ["master", "worker"] },
    group: "Session resumption",
    names: {
      stud: ["shared-cache", "session-cache"],
      hitch: ["shared-cache", "session-cache"],
    },
    short: "C",
    form: "number",
    argument: "N",
    default: "0",
    help: "Number of TLS 1.2 sessions to keep, shared by all workers, for clients without tickets.",
    parse: integer(0, 10_000_000),
    needs: { need: "sessionCache", unless: "0" },
  },
  "shared-cache-listen": {
    group: "Session resumption",
    short: "U",
    form: "text",
    argument: "ADDRESS",
    example: "[192.0.2.1]:8200",
    help: "Receive new sessions from other machines at this UDP address, which may be a " +
      "multicast group, and send ours from it. Requires --shared-cache and " +
      "--ticket-secret-file.",
    parse: parseUdp,
    needs: { need: "sessionCache", unless: "" },
  },
  "shared-cache-peer": {
    group: "Session resumption",
    short: "P",
    form: "text",
    argument: "ADDRESS",
    example: "[192.0.2.2]:8200",
    repeat: true,
    help: "Send new sessions to this machine or multicast group. Repeatable.",
    parse: parseUdpPeer,
    needs: { need: "sessionCache", unless: "" },
  },
  "shared-cache-if": {
    group: "Session resumption",
    short: "M",
    form: "text",
    argument: "IFACE[,TTL]",
    default: "",
    help: "Interface for multicast, by name, address or index, and the TTL of packets (default 1).",
    parse: multicast,
    needs: { need: "sessionCache", unless: "" },
  },
} as const satisfies Record<string, Option>;
