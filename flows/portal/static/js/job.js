// Waiting for a job of a project.

import { own, Refused } from "./server.js";

const SOON = 700;

/** The job when it is done; `told` hears of every look at it. An error with its line where it is not done. */
export async function follow(job, told) {
  let now = job;
  while (now.active) {
    told(now);
    await new Promise((resolve) => { setTimeout(resolve, SOON); });
    try {
      now = await own(`/api/jobs/${now.number}`);
    } catch (error) {
      if (error instanceof Refused) throw error;
      // The portal did not answer; the job goes on without it.
    }
  }
  if (now.state !== "done") throw new Error(now.line);
  return now;
}
