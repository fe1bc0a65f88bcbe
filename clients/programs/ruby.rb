# Calls a server by Ruby's xmlrpc, which OpenNebula's own tools use. Standard input has a call a line,
# [method, [parameter, ...]] in JSON; standard output gets {"value": ...} or {"fault": code, "text": ...} for each.
require 'json'
require 'xmlrpc/client'

server = XMLRPC::Client.new2(ARGV[0])
STDIN.each_line do |line|
  method, params = JSON.parse(line)
  begin
    answer = { value: server.call(method, *params) }
  rescue XMLRPC::FaultException => e
    answer = { fault: e.faultCode, text: e.faultString }
  end
  puts JSON.generate(answer)
  STDOUT.flush
end
