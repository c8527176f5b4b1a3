# a preset is a text for people, too
$ headwater presets aptos
exit 0
--- stdout
# Aptos: transactions of the chain in order, from the transaction stream service.
#
# One message is a batch of transactions, and says which range of versions it covers: also what a
# filter took out. Older servers say no range; then the last transaction's version counts. The next
# call asks for the version that follows. A batch of which the filter left nothing is a heartbeat: it
# moves the cursor and is not passed on.
#
# Yours: the server, the key it knows you by (`auth: { bearer: { file: … } }`), for the first start
# `request.starting_version` (the server demands one), and a `transaction_filter`.
method: aptos.indexer.v1.RawData/GetTransactions
request:
  starting_version: 0
resume:
  cursor:
    version: { from: [processed_range.last_version, "transactions[-1].version"] }
  position: next
  sequence: monotone
  heartbeat: { when: "size(transactions) == 0" }
  restart:
    set: { starting_version: "${cursor.version}" }
