// Uses the generated client as a program would; prints what it got as one line of JSON.
import { HubConnectionBuilder, Subject } from "@microsoft/signalr";
import { ShopHubClient, type Price } from "./shop.js";

declare const process: { argv: string[] };

const connection = new HubConnectionBuilder().withUrl(process.argv[2]!).configureLogging(5).build();
const shop = new ShopHubClient(connection);
const changed: [string, Price][] = [];
const forget = shop.onPriceChanged((thing, price) => void changed.push([thing, price]));
shop.onReally(async (question) => question === "really?");
await connection.start();

const prices: Price[] = [];
await new Promise<void>((complete, error) => {
  shop.prices(["apple", "pear"]).subscribe({ next: (price) => void prices.push(price), complete, error });
});
const upload = new Subject<Price>();
const sum: Promise<number> = shop.sumUp(100, upload);
upload.next({ amountMinor: 1 });
upload.next({ amountMinor: 2, colour: "blue" });
upload.complete();

const got = {
  price: await shop.priceOf("apple"),
  bought: [await shop.buy(["apple"]), await shop.buy(["apple"], 2, true)],
  moved: await shop.move([1], [1, "a"], {}, "a"),
  area: await shop.area({ type: "square", side: 3 }),
  customers: (await shop.customers(7)).items.map((customer) => customer.friends.length),
  asked: await shop.askMe("really?"),
  changed,
  prices: prices.length,
  sum: await sum,
  closed: await shop.close().then(String, (error: unknown) => String(error)),
};
forget();
console.log(JSON.stringify(got));
await connection.stop();
