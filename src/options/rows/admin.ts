/** Options for the admin endpoint. */
import { parseAdmin } from "../address.ts";
import type { Option } from "../option.ts";
import { anyText, onOff } from "../values.ts";

export const adminOptions = {
  "admin": {
    config: { key: "admin.address", readers: ["master"] },
    group: "Admin endpoint",
    form: "text",
    argument: "ADDRESS",
    example: "unix:/run/stud/admin.sock",
    default: "",
    help: "Serve metrics, health, status and a live page by HTTP at this address: /PATH or @NAME " +
      "of a Unix socket, or HOST:PORT or [HOST]:PORT of a loopback address.",
    parse: parseAdmin,
  },
  "admin-token-file": {
    config: { key: "admin.tokenFile", readers: ["master"] },
    group: "Admin endpoint",
    form: "text",
    argument: "FILE",
    path: true,
    default: "",
    help: "Require the token in this file from clients, as a bearer token or as the password, " +
      "except at a Unix socket with a file. Read again at a reload.",
    parse: anyText,
  },
  "admin-allow-remote": {
    config: { key: "admin.allowRemote", readers: ["master"] },
    group: "Admin endpoint",
    form: "flag",
    default: "off",
    help: "Allow an address that other machines can reach; it requires --admin-token-file.",
    parse: onOff,
  },
  "admin-ready-backend": {
    config: { key: "admin.readyBackend", readers: ["master"] },
    group: "Admin endpoint",
    form: "flag",
    default: "off",
    help: "Report readiness only while the backend can be connected.",
    parse: onOff,
  },
} as const satisfies Record<string, Option>;
