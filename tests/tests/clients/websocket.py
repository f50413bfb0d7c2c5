"""Follows a table over WebSocket with the library `websockets`, and resumes by itself.

Arguments: the address (ws://host:port). WALGATE_TOKEN is the token. Prints `ready`, and the id and the key of
each event.
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus


def say(text):
    print(text, flush=True)


async def follow(address):
    headers = {"Authorization": "Bearer " + os.environ["WALGATE_TOKEN"]}
    last = None
    while True:
        after = "" if last is None else "&after=" + last
        url = address + "/v1/stream?table=public.t" + after
        try:
            async with connect(url, additional_headers=headers, proxy=None) as socket:
                async for text in socket:
                    message = json.loads(text)
                    if "op" in message:
                        last = message["id"]
                        say(f"{last} {message['key']['id']}")
                    elif message["type"] in ("ready", "position"):
                        last = message["position"]
                        if message["type"] == "ready":
                            say("ready")
        except InvalidStatus as refused:
            if refused.response.status_code == 401:
                say("refused 401")
                return
        except (ConnectionClosed, InvalidMessage, OSError):
            pass
        await asyncio.sleep(0.1)


asyncio.run(follow(sys.argv[1]))
