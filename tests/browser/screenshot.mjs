// The picture of the page that the README shows: two mazes on their way, one that is done, and an update.

import { join } from "node:path";
import { script, sql, until } from "./ask.mjs";
import { live, open, server } from "./browser.mjs";

await script({
  async "the picture is taken"() {
    const { page, close } = await open({ width: 1360, height: 800 });
    // The same mazes each time.
    await sql("select setseed(0.42), maze.start_experiment('right hand', 14, 9, 3); " +
      "select maze.start_experiment('first steps', 14, 9, 3); select maze.start_experiment('long way', 14, 9, 4)");
    await sql("do $$ begin for n in 1 .. 60 loop perform maze.tick(3, 1); end loop; end $$");
    await page.goto(server);
    await live(page);
    await sql("create table public.orders (id int primary key, status text, total numeric)");
    await sql("insert into public.orders values (1041, 'new', 129.90), (1042, 'new', 19.90)");
    await sql("update public.orders set status = 'paid' where id = 1042");
    await sql("do $$ begin for n in 1 .. 12 loop perform maze.tick(3, 1); end loop; end $$");
    await sql("update public.orders set status = 'sent' where id = 1042");
    // As the demo does it, so that what the page measures is what people see.
    for (let round = 0; round < 40; round += 1) {
      await sql("select maze.tick(3, 1)");
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    await sql("update public.orders set total = 99.90 where id = 1041");
    const steps = () => page.$$eval("#rows td.key", (cells) => cells[0]?.textContent);
    await until("the last is there", async () => (await steps()) === "1041");
    // Until the rows have lost the colour of their arrival.
    await until("it is quiet", () => page.evaluate(() => document.getAnimations().length === 0));
    await page.screenshot({ path: join(process.env.PICTURES, "screenshot.png") });
    await close();
  },
});
