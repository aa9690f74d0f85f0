/** The two options that are repeated, and that a file may write as a block. */
import type { Option } from "../option.ts";
import { DEFAULT_FRONTEND, frontendText, pemText } from "../blocks.ts";

export const compositeOptions = {
  "frontend": {
    group: "Sockets",
    short: "f",
    form: "frontend",
    argument: "ADDRESS",
    repeat: true,
    help: "Where clients connect: HOST,PORT or [HOST]:PORT, and +CERT after it for a certificate " +
      "of its own; * is every address; /PATH or @NAME is a Unix socket, systemd:NAME one of the " +
      `service manager's. Repeatable. Default: ${DEFAULT_FRONTEND}.`,
    parse: frontendText,
  },
  "pem-file": {
    group: "Certificates",
    form: "pem",
    argument: "FILE",
    in: ["line", "file", "frontend"],
    repeat: true,
    help: "A certificate with its chain and key, the same as a PEM argument; the last one serves " +
      "clients that ask for no name or for one that no certificate has. Repeatable.",
    parse: pemText,
  },
} as const satisfies Record<string, Option>;
