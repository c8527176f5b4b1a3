//! `headwater describe`: what a server or a descriptor set offers.

use crate::args::Describe;
use crate::exit::{Exit, Failed, Outcome};
use crate::origin::{Types, unknown, write_new};
use crate::output;
use headwater_proto::{DescriptorPool, print};

/// Shows services, or one thing by its name.
pub(crate) fn describe(options: &Describe) -> Outcome {
    let (endpoint, name) = parts(options)?;
    let types = options.origin.types(endpoint)?;
    let Some(name) = name else { return services(options, &types) };
    let symbols = symbols(name);
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let pool = match &types {
        Types::Here(types) => types.pool().clone(),
        Types::Server(server) => server.learn(&symbols)?.descriptors.pool().clone(),
    };
    let text = symbols.first().and_then(|symbol| shown(&pool, symbol));
    let text = text.ok_or_else(|| unknown(name, &names(&pool)))?;
    write_set(options, &pool)?;
    output::print(&text);
    Ok(Exit::Done)
}

/// Endpoint and name, as far as they are given.
fn parts(options: &Describe) -> Result<(&str, Option<&str>), Failed> {
    let what: Vec<&str> = options.what.iter().map(String::as_str).collect();
    match (what.as_slice(), options.origin.is_local()) {
        ([], true) => Ok(("", None)),
        ([name], true) => Ok(("", Some(name))),
        ([_, _, ..], true) => {
            Err(Exit::Mistake.saying("with --descriptors or --proto give the name alone"))
        }
        ([], false) => Err(Exit::Mistake
            .saying("name a server, as http://HOST:PORT, or types with --descriptors or --proto")),
        ([endpoint], false) => Ok((endpoint, None)),
        ([endpoint, name, ..], false) => Ok((endpoint, Some(name))),
    }
}

/// How a server may know what was named: as it is, or by what holds it.
fn symbols(name: &str) -> Vec<String> {
    let name = name.trim_start_matches('/').replace('/', ".");
    let holder = name.rsplit_once('.').map(|(holder, _)| holder.to_owned());
    std::iter::once(name).chain(holder).collect()
}

fn services(options: &Describe, types: &Types) -> Outcome {
    let names = match types {
        Types::Here(types) => {
            write_set(options, types.pool())?;
            types.pool().services().map(|service| service.full_name().to_owned()).collect()
        }
        Types::Server(_) if options.set_out.is_some() => {
            return Err(Exit::Mistake.saying("--set-out needs the name of what to write"));
        }
        Types::Server(server) => server.services()?,
    };
    names.iter().for_each(|name: &String| output::line(name));
    Ok(Exit::Done)
}

fn write_set(options: &Describe, pool: &DescriptorPool) -> Result<(), Failed> {
    let Some(path) = &options.set_out else { return Ok(()) };
    write_new(path, &pool.encode_to_vec())
}

fn shown(pool: &DescriptorPool, name: &str) -> Option<String> {
    let headed = |what: &str, file: &str, text: String| {
        Some(format!("// {name}, {what} of {file}\n\n{text}"))
    };
    if let Some(service) = pool.get_service_by_name(name) {
        return headed("a service", service.parent_file().name(), print::service(&service));
    }
    if let Some(message) = pool.get_message_by_name(name) {
        return headed("a message", message.parent_file().name(), print::message(&message));
    }
    if let Some(found) = pool.get_enum_by_name(name) {
        return headed("an enum", found.parent_file().name(), print::enumeration(&found));
    }
    let (holder, last) = name.rsplit_once('.')?;
    if let Some(message) = pool.get_message_by_name(holder) {
        let field = message.get_field_by_name(last)?;
        return headed("a field", message.parent_file().name(), print::field(&field));
    }
    let (service, method) = (holder, last);
    let service = pool.get_service_by_name(service)?;
    let method = service.methods().find(|it| it.name() == method)?;
    headed("a method", service.parent_file().name(), print::method(&method))
}

/// All that could have been meant.
fn names(pool: &DescriptorPool) -> Vec<String> {
    let services = pool.services().map(|it| it.full_name().to_owned());
    let methods = pool.services().flat_map(|service| {
        let names: Vec<String> = service.methods().map(|it| it.full_name().to_owned()).collect();
        names
    });
    let messages = pool.all_messages().map(|it| it.full_name().to_owned());
    let enums = pool.all_enums().map(|it| it.full_name().to_owned());
    services.chain(methods).chain(messages).chain(enums).collect()
}
