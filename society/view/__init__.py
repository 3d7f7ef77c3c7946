"""The viewer: a page in the browser that follows a run or replays a finished one."""
