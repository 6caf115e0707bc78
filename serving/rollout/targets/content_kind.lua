-- What a prediction carries, read from its JSON body without parsing it. Sets on the request:
--   x-weir-content   text | media                 which pool answers it
--   x-weir-priority  interactive | normal | bulk  as stated (header, V2 parameter), else by size;
--                    "unknown" for any other word, which a route answers with 400
--   x-weir-account   a keyed 32-bit hash of the first account; absent where there is none
-- Clients' own x-weir-content and x-weir-account are removed before this runs.
--
-- The one rule: what carries media is never called text. A key `media` can hide only behind
-- escapes of plain letters, digits or backslashes (\u006dedia), which no serialiser writes: a body
-- with such an escape counts as media, and so does every doubtful place. Hence only text can be
-- misplaced, for example a V1 text that quotes `"media": [1]`.

local byte, char, find, gsub, match, sub =
  string.byte, string.char, string.find, string.gsub, string.match, string.sub
local band, bxor, rol, tobit = bit.band, bit.bxor, bit.rol, bit.tobit
local lshift, rshift = bit.lshift, bit.rshift

local QUOTE, BACKSLASH, COLON, OPEN, CLOSE, LETTER_U = 34, 92, 58, 91, 93, 117
local MOST_CANDIDATES = 1000 -- a body that mentions media more often is not worth more reading
local ACCOUNT_WINDOW = 4096 -- bytes; 256 characters, each escaped twice, are shorter
local KNOWN = { interactive = true, normal = true, bulk = true }
-- what may follow \u00 in an escape that hides a letter of media, a backslash, a u or a hex digit
local HIDING = {}
for hidden in ("media\\u0123456789abcdefABCDEF"):gmatch(".") do
  HIDING[string.format("%02x", byte(hidden))] = true
  HIDING[string.format("%02X", byte(hidden))] = true
end

-- How the quote before `at` is written: plain, or escaped once, as in an event inside a string (V2).
-- Behind two backslashes or more it belongs to somebody's text, and opens no key: nil.
local function opening(body, at)
  if byte(body, at - 1) ~= QUOTE then
    local is_escape = sub(body, at - 6, at - 1) == "\\u0022" and byte(body, at - 7) ~= BACKSLASH
    return is_escape and "escaped" or nil
  elseif byte(body, at - 2) ~= BACKSLASH then
    return "plain"
  end
  return byte(body, at - 3) ~= BACKSLASH and "escaped" or nil
end

local function skip_blank(body, at)
  while true do
    local here = byte(body, at)
    if here == 32 or here == 10 or here == 13 or here == 9 then
      at = at + 1
    elseif here == BACKSLASH and match(body, "^[nrt]", at + 1) then
      at = at + 2
    else
      return at
    end
  end
end

local function is_doubtful(body, at)
  return byte(body, at) == BACKSLASH and byte(body, at + 1) == LETTER_U
end

-- Where the value begins of the key whose name ends before `at`; nil where no key ends there.
local function value_after(body, at)
  if byte(body, at) == QUOTE then
    at = at + 1
  elseif byte(body, at) ~= BACKSLASH then
    return nil
  elseif byte(body, at + 1) == QUOTE then
    at = at + 2
  elseif sub(body, at, at + 5) == "\\u0022" then
    at = at + 6
  else
    return nil
  end
  at = skip_blank(body, at)
  if is_doubtful(body, at) then
    return at
  end
  return byte(body, at) == COLON and skip_blank(body, at + 1) or nil
end

local function is_filled_list(body, at)
  if is_doubtful(body, at) then
    return true
  end
  return byte(body, at) == OPEN and byte(body, skip_blank(body, at + 1)) ~= CLOSE
end

local function hides_letters(body)
  local at = find(body, "\\u00", 1, true)
  while at do
    if HIDING[sub(body, at + 4, at + 5)] then
      return true
    end
    at = find(body, "\\u00", at + 4, true)
  end
  return false
end

local function carries_media(body)
  local at = find(body, "media", 1, true)
  local candidates = 0
  while at do
    local value = opening(body, at) and value_after(body, at + 5)
    candidates = candidates + 1
    if candidates > MOST_CANDIDATES or (value and is_filled_list(body, value)) then
      return true
    end
    at = find(body, "media", at + 5, true)
  end
  return hides_letters(body)
end

-- Where the value of the next key `name` of an event begins, from `at` on.
local function event_value(body, name, at, quotes)
  at = find(body, name, at, true)
  while at do
    local value = opening(body, at) == quotes and value_after(body, at + #name)
    if value then
      return value
    end
    at = find(body, name, at + #name, true)
  end
  return nil
end

local PLAIN = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8(code)
  if code < 128 then
    return char(code)
  elseif code < 2048 then
    return char(192 + rshift(code, 6), 128 + band(code, 63))
  elseif code < 65536 then
    return char(224 + rshift(code, 12), 128 + band(rshift(code, 6), 63), 128 + band(code, 63))
  end
  return char(240 + rshift(code, 18), 128 + band(rshift(code, 12), 63),
    128 + band(rshift(code, 6), 63), 128 + band(code, 63))
end

local function unescaped(text)
  local half -- the first of a surrogate pair
  return (gsub(text, "\\(.)(%x?%x?%x?%x?)", function(letter, digits)
    if letter ~= "u" or #digits < 4 then
      return (PLAIN[letter] or letter) .. digits
    end
    local code = tonumber(digits, 16)
    if code >= 0xD800 and code < 0xDC00 then
      half = code
      return ""
    elseif code >= 0xDC00 and code < 0xE000 and half then
      code = (half - 0xD800) * 1024 + code - 0xDC00 + 65536
    end
    return utf8(code)
  end))
end

-- The JSON string that begins at `at`, decoded; nil where there is none.
local function string_at(body, at)
  if byte(body, at) ~= QUOTE then
    return nil
  end
  local last = at + 1
  while true do
    last = find(body, '["\\]', last)
    if last == nil then
      return nil
    elseif byte(body, last) == QUOTE then
      return unescaped(sub(body, at + 1, last - 1))
    end
    last = last + 2
  end
end

local function account_of(body, quotes)
  local at = event_value(body, "account", 1, quotes)
  if at == nil or quotes == "plain" then
    return at and string_at(body, at)
  end
  local short = match(body, '^\\"([^"\\]*)\\"', at)
  return short or string_at(unescaped(sub(body, at, at + ACCOUNT_WINDOW)), 1)
end

local function word(text, at)
  local a, b, c, d = byte(text, at, at + 3)
  return tobit((a or 0) + (b or 0) * 256 + (c or 0) * 65536 + (d or 0) * 16777216)
end

local function round(v0, v1, v2, v3)
  v0 = tobit(v0 + v1)
  v1 = bxor(rol(v1, 5), v0)
  v0 = rol(v0, 16)
  v2 = tobit(v2 + v3)
  v3 = bxor(rol(v3, 8), v2)
  v0 = tobit(v0 + v3)
  v3 = bxor(rol(v3, 7), v0)
  v2 = tobit(v2 + v1)
  v1 = bxor(rol(v1, 13), v2)
  return v0, v1, rol(v2, 16), v3
end

-- HalfSipHash-2-4 (Aumasson and Bernstein), 32 bits: without the key (8 bytes as 16 hexadecimal
-- digits) nobody can tell which arm an account meets, nor an account from its hash.
function keyed_hash(text, key)
  local seed = gsub(key, "%x%x", function(pair) return char(tonumber(pair, 16)) end)
  local k0, k1 = word(seed, 1), word(seed, 5)
  local v0, v1, v2, v3 = k0, k1, bxor(0x6c796765, k0), bxor(0x74656462, k1)
  local whole = #text - #text % 4
  for at = 1, whole + 1, 4 do
    local block = word(text, at)
    if at > whole then
      block = bxor(block, lshift(#text, 24))
    end
    v3 = bxor(v3, block)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0 = bxor(v0, block)
  end
  v2 = bxor(v2, 255)
  for _ = 1, 4 do
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
  end
  return bxor(v1, v3) % 4294967296
end

local function priority_of(body, quotes, stated)
  if quotes == "escaped" and stated == nil then
    local at = find(body, '"priority"', 1, true) -- unescaped: a parameter, no text of an event
    stated = at and match(body, '^%s*:%s*"(%a+)"', at + 10)
  end
  if stated then
    return KNOWN[stated] and stated or "unknown"
  end
  local first = event_value(body, "text", 1, quotes)
  return first and event_value(body, "text", first, quotes) and "normal" or "interactive"
end

function envoy_on_request(request)
  local path = request:headers():get(":path") or ""
  local quotes = find(path, ":predict", 1, true) and "plain" or "escaped"
  if quotes == "escaped" and not find(path, "/infer", 1, true) then
    return
  end
  local buffer = request:body()
  local body = buffer and buffer:getBytes(0, buffer:length()) or ""
  local context = request:filterContext() -- before any header: each change has a route sought anew
  local headers = request:headers() -- anew: what was taken before the body came is stale
  local priority = priority_of(body, quotes, headers:get("x-weir-priority"))
  local account = account_of(body, quotes)
  headers:replace("x-weir-content", carries_media(body) and "media" or "text")
  headers:replace("x-weir-priority", priority)
  if account then
    local key = context and context:get("affinity_key") or "0000000000000000"
    headers:replace("x-weir-account", string.format("%.0f", keyed_hash(account, key)))
  end
end
