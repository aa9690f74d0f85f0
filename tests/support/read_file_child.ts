/** Reads a file twice in a separate process, whose pipes a shell creates, and prints the results. */
import process from "node:process";
import { FileError, readFile } from "../../src/base/read_file.ts";

const [also, file] = process.argv.slice(2);

for (let time = 0; time < 2; time++) console.log(JSON.stringify(attempt()));

function attempt(): string {
  try {
    return readFile(file!, also === "pipe" || also === "stream" ? { also } : {}).toString();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return error.message;
  }
}
