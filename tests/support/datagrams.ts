/** A Unix datagram socket, which no runtime supports: perl receives. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { until } from "./until.ts";

export interface Receiver {
  /** The datagrams received so far. */
  datagrams(): string[];
  stop(): Promise<void>;
}

const PROGRAM = `use Socket; socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die;
  (my $path = $ARGV[0]) =~ s/^@/\\0/;
  bind($s, sockaddr_un($path)) or die; $| = 1; print "open\\x1e";
  while (defined recv($s, my $datagram, 9000, 0)) { print "$datagram\\x1e" }`;

/** Receives at a path, or at `@name` in the abstract namespace. */
export async function receiveDatagrams(path: string): Promise<Receiver> {
  const child = spawn("perl", ["-e", PROGRAM, path], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => text += part);
  const ended = once(child, "exit");
  await until(() => text.includes("\x1e"), "the receiver of datagrams");
  return {
    datagrams: () => text.split("\x1e").slice(1, -1),
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
