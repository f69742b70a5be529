// BullMQ's queue and worker in one process, spoken to over standard input: a JSON document a line, each answered "ok".
import { spawn } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { Queue, Worker } from "bullmq";
import pg from "pg";

const connection = { host: "127.0.0.1", port: Number(process.env.BENCH_REDIS_PORT) };
const pool = new pg.Pool({ connectionString: process.env.BENCH_DATABASE, max: 10 });
await pool.query("CREATE TABLE results (job text, due_at text, ended_at timestamptz DEFAULT clock_timestamp())");

// The default concurrency is one; its documentation says to raise it for work that waits, and keeps no finished jobs.
const options = { connection, concurrency: 100, removeOnComplete: { count: 0 }, removeOnFail: { count: 1000 } };
const queue = new Queue("bench", { connection });
const worker = new Worker("bench", run, options);
await worker.waitUntilReady();

async function run(job) {
  // A scheduled job's id ends in its due time in milliseconds; the others have it in their data.
  const due = job.data.due ?? Number(job.id.split(":").at(-1)) / 1000;
  await perform(job.data, String(due));
  await pool.query("INSERT INTO results (job, due_at) VALUES ($1, $2)", [job.data.task, String(due)]);
}

async function perform(work, due) {
  if (work.kind === "shell") {
    const child = spawn("/bin/sh", ["-c", work.command], { env: { ...process.env, DUE: due }, stdio: "ignore" });
    await new Promise((resolve, reject) => child.on("exit", resolve).on("error", reject));
  } else if (work.kind === "http") {
    await fetch(`${work.url}/${work.task}`, { headers: { "Idempotency-Key": `${work.task}/${due}` } });
  } else {
    // The nearest to a Python function that it has: a JavaScript one.
    const at = Date.now() / 1000;
    const pipe = openSync(work.pipe, "w");
    writeSync(pipe, `python ${work.task} ${due} ${at}\n`);
    closeSync(pipe);
  }
}

const verbs = {
  async every_second({ works, since, until }) {
    const repeat = { pattern: "* * * * * *", tz: "UTC", startDate: since * 1000 - 500, endDate: until * 1000 - 500 };
    for (const work of works) await queue.upsertJobScheduler(work.task, repeat, { name: "run", data: work });
  },
  async together({ works, due }) {
    const delay = () => Math.max(0, due * 1000 - Date.now());
    await queue.addBulk(works.map((work) => ({ name: "run", data: { ...work, due }, opts: { delay: delay() } })));
  },
  async run_now({ works }) {
    for (const work of works) await queue.add("run", { ...work, due: "-" });
  },
  async idle({ count }) {
    const repeat = { pattern: "0 0 0 1 1 *", tz: "UTC" };
    const data = { task: "idle", kind: "shell", command: "true" };
    for (let n = 0; n < count; n++) await queue.upsertJobScheduler(`idle-${n}`, repeat, { name: "run", data });
  },
  async clear() {
    for (const { key } of await queue.getJobSchedulers()) {
      if (!key.startsWith("idle-")) await queue.removeJobScheduler(key);
    }
  },
};

console.log("ok");
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const request = JSON.parse(line);
  await verbs[request.verb](request);
  console.log("ok");
}
process.exit(0);
